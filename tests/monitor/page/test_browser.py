"""The page in a real browser, before the real proxy: what people see, and can do."""

import json
import re
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.monitor.page.chromium import Tab
from tests.monitor.page.person import LIVE, enter, states
from tests.monitor.page.stand import (
    KEY,
    ODD_MODEL,
    Stand,
    make_incident,
    running_streams,
    stand,
)

pytestmark = pytest.mark.chromium

# Notes when the first row of an incident was put into the page, by the machine's clock.
WATCH_INCIDENTS = """
  window.firstIncident = null;
  new MutationObserver((mutations) => {
    for (const row of mutations.flatMap((one) => [...one.addedNodes])) {
      window.firstIncident ??= { id: row.dataset.id, at: Date.now() / 1000 };
    }
  }).observe(document.getElementById("incident-rows"), { childList: true });
  true
"""


def test_a_fault_is_on_the_page_within_two_seconds_of_its_alarm(tab: Tab, shown: Stand) -> None:
    """Measured by the clock that both processes share."""
    enter(tab, shown)
    known = len(shown.told("/api/incidents")["incidents"])
    tab.wait(f"document.querySelectorAll('#incident-rows tr').length === {known}")
    tab.value(WATCH_INCIDENTS)
    make_incident(shown, sick=1)
    found = tab.wait("window.firstIncident")
    incident = shown.told(f"/api/incidents/{found['id']}")["incident"]
    seconds = found["at"] - incident["at"]
    print(f"from the alarm to the page: {seconds:.2f} s")
    assert incident["facts"]["replica"] == shown.replicas[0]
    assert 0 <= seconds < 10
    tab.wait("document.getElementById('news').textContent.includes('incident')")
    assert "garbled" in tab.text("#incident-rows")


def test_an_incident_is_told_in_full(tab: Tab, shown: Stand) -> None:
    """Its steps with their marks, its attempts along time, and no text of the answer."""
    enter(tab, shown)
    incident = make_incident(shown, sick=1)
    tab.wait(f"document.querySelectorAll('tr[data-id=\"{incident}\"]').length > 0")
    tab.value(f"document.querySelector('tr[data-id=\"{incident}\"] button').click()")
    tab.wait("document.querySelectorAll('#detail .timeline li').length === 2")
    told = tab.text("#detail")
    assert "garbled on" in told
    assert "the client got: retried clean" in told
    assert re.search(r"onset at step \d+, alarm at step \d+", told)
    assert tab.value("document.querySelectorAll('#detail path.mark').length") == 2
    widths = "[...document.querySelectorAll('#detail .bar')].map((bar) => bar.style.width)"
    assert all(width.endswith("%") for width in tab.value(widths))
    assert "salad" not in tab.text("body"), "text of the answer"


def test_a_link_leads_to_an_incident_and_says_if_it_is_gone(tab: Tab, shown: Stand) -> None:
    incident = make_incident(shown)
    tab.open(f"{shown.proxy}/page")
    key = json.dumps(KEY)
    tab.value(f"sessionStorage.setItem('specwatch.admin-key', {key})")
    tab.value(f"location.hash = '#incident={incident}'")
    tab.wait("document.querySelectorAll('#detail .timeline li').length > 0")
    tab.reload()
    tab.wait("document.querySelectorAll('#detail .timeline li').length > 0")
    tab.value("location.hash = '#incident=none'")
    tab.wait("document.getElementById('detail').innerText.includes('no longer kept')")


def test_names_stay_text(tab: Tab, shown: Stand) -> None:
    """A model is called as its client says: no name is read as HTML, in the list or in details."""
    enter(tab, shown)
    with running_streams(shown.proxy, 2, ODD_MODEL):
        tab.wait("document.getElementById('streams').innerText.includes('onerror')")
        assert ODD_MODEL in tab.value("document.getElementById('streams').textContent")
        strips = "[...document.querySelectorAll('#streams svg')].map((s) => s.ariaLabel)"
        tab.wait("document.querySelector('#streams svg path.some').getAttribute('d').length > 100")
        assert all("of 3 drafts accepted" in label for label in tab.value(strips))
    make_incident(shown, model=ODD_MODEL)
    tab.wait("document.getElementById('incident-rows').textContent.includes('onerror')")
    tab.value("document.querySelector('#incident-rows button').click()")
    tab.wait("document.getElementById('detail').textContent.includes('onerror')")
    assert tab.value("document.images.length") == 0
    assert tab.value("document.title") == "specwatch"
    tab.wait("document.getElementById('streams').childElementCount === 0")


def test_everything_comes_from_the_monitor(tab: Tab, shown: Stand) -> None:
    """No font, no script, no picture of anybody else; the key is in no address and no storage that
    outlives the tab.
    """
    enter(tab, shown)
    asked = tab.requested()
    assert {address.split("/page")[0].split("/api")[0] for address in asked} == {shown.proxy}
    assert not any(KEY in unquote(address) for address in asked)
    assert tab.value("JSON.stringify(localStorage)") == "{}"
    assert tab.value("document.cookie") == ""
    assert tab.value("document.getElementById('key').value") == ""


def test_light_and_dark(tab: Tab, shown: Stand) -> None:
    """As the system says, until somebody chooses; every text can be read in both."""
    enter(tab, shown)
    ground = "getComputedStyle(document.body).backgroundColor"
    tab.prefer("light")
    assert brightness(tab.value(ground)) > 0.8
    assert worst_contrast(tab) >= 4.5
    tab.prefer("dark")
    assert brightness(tab.value(ground)) < 0.2
    assert worst_contrast(tab) >= 4.5
    choose = "const s = document.getElementById('theme'); s.value = '{}'; "
    choose += "s.dispatchEvent(new Event('change')); {}"
    assert brightness(tab.value(choose.format("light", ground))) > 0.8
    tab.reload()
    assert tab.value("document.documentElement.dataset.theme") == "light"


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of ``rgb(…)``, 0 to 1."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def worst_contrast(tab: Tab) -> float:
    """Of each text in view against what is behind it; 4.5 is WCAG's AA."""
    script = """
      [...document.querySelectorAll("main *, header *")]
        .filter((node) => [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
        .filter((node) => node.offsetParent !== null)
        .map((node) => {
          let behind = node;
          const ground = (one) => getComputedStyle(one).backgroundColor;
          while (behind && ground(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          return [getComputedStyle(node).color, ground(behind ?? document.body), node.outerHTML];
        })
    """
    found = [
        (contrast(text, ground), text, ground, node) for text, ground, node in tab.value(script)
    ]
    assert len(found) > 20
    print("worst contrast:", min(found))
    return min(found)[0]


def contrast(text: str, ground: str) -> float:
    """Of two colours, 1 to 21."""
    lighter, darker = sorted((brightness(text), brightness(ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_page_outlives_a_crash_and_holds_up_no_stop(tab: Tab, tmp_path: Path) -> None:
    """It says that the connection is lost, and shows the new process once that is there.

    A stop has a grace time of a minute, which open pages must not use up.
    """
    with stand(tmp_path, step_seconds=0.01) as own:
        enter(tab, own)
        own.damage(own.replicas[0], "noise")
        own.ask(2)
        tab.wait("document.querySelectorAll('#incident-rows tr').length > 0")
        own.damage(own.replicas[0], None)
        own.children.kill("proxy")
        tab.wait("document.getElementById('connection').dataset.state === 'lost'")
        assert len(states(tab)) == 2, "what was known is still there to be read"
        own.start_proxy()
        tab.wait(LIVE)
        tab.wait("document.querySelectorAll('#incident-rows tr').length === 0")
        assert len(states(tab)) == 2
        began = time.monotonic()
        assert own.children.stop("proxy") == 0
        seconds = time.monotonic() - began
        print(f"from SIGTERM to the end of the process, with a page open: {seconds:.1f} s")
        assert seconds < 30
