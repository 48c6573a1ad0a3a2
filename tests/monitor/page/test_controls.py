"""What people order by the page, with which key, and with the keyboard alone."""

import pytest

from tests.monitor.page.chromium import Tab
from tests.monitor.page.person import LIVE, enter, states, use_key
from tests.monitor.page.stand import KEY, Stand, make_incident

pytestmark = pytest.mark.chromium

FOCUS = "document.activeElement.getAttribute('aria-label') || document.activeElement.id"


def test_without_the_right_key_there_is_nothing_to_see(tab: Tab, shown: Stand) -> None:
    tab.open(f"{shown.proxy}/page")
    tab.wait("document.getElementById('connection').dataset.state === 'refused'")
    use_key(tab, "wrong")
    tab.wait("document.getElementById('connection').textContent.includes('check')")
    assert tab.value("document.getElementById('replicas').childElementCount") == 0
    use_key(tab, KEY)
    tab.wait(LIVE)
    tab.wait("document.querySelectorAll('#replicas > li').length === 2")
    tab.value("document.getElementById('forget').click()")
    tab.wait("document.getElementById('connection').dataset.state === 'refused'")
    assert tab.value("sessionStorage.length") == 0


def test_orders_are_given_with_the_right_key_alone(tab: Tab, shown: Stand) -> None:
    """Drain, quarantine and readmit, each asked back; a wrong key changes nothing and is told."""
    enter(tab, shown)
    order(tab, "Drain", "confirm-yes")
    tab.wait("document.querySelector('#replicas > li').dataset.state === 'draining'")
    assert "was ordered" in tab.text("#message")
    order(tab, "Readmit", "confirm-yes")
    tab.wait("document.querySelector('#replicas > li').dataset.state === 'healthy'")
    order(tab, "Quarantine", "confirm-no")
    tab.value("sessionStorage.setItem('specwatch.admin-key', 'wrong')")
    order(tab, "Quarantine", "confirm-yes")
    tab.wait("document.getElementById('message').textContent === 'wrong admin key'")
    assert tab.value(FOCUS) == "key"
    assert [one["state"] for one in shown.told("/api/replicas")["replicas"]] == ["healthy"] * 2
    use_key(tab, KEY)
    tab.wait(LIVE)
    order(tab, "Quarantine", "confirm-yes")
    tab.wait("document.querySelector('#replicas > li').dataset.state === 'quarantined'")
    order(tab, "Readmit", "confirm-yes")
    tab.wait("document.querySelector('#replicas > li').dataset.state === 'healthy'")


def order(tab: Tab, label: str, answer: str) -> None:
    """By the first replica's button."""
    tab.value(f"document.querySelector('#replicas button[aria-label^={label}]').click()")
    tab.wait("document.getElementById('confirm').open")
    tab.value(f"document.getElementById('{answer}').click()")
    tab.wait("!document.getElementById('confirm').open")


def test_the_budget_is_set(tab: Tab, shown: Stand) -> None:
    """What is being typed is not overwritten by the next event."""
    enter(tab, shown)
    tab.wait("document.getElementById('ratio').value === '20'")
    tab.value("document.getElementById('ratio').select()")
    tab.type("35")
    shown.ask(3)
    tab.wait("document.getElementById('ratio').value === '35'")
    tab.press("Enter")
    tab.wait("document.getElementById('message').textContent === 'the retry budget was set'")
    assert shown.told("/api/budget")["ratio"] == 0.35
    assert shown.told("/api/budget")["min_per_second"] == 10


def test_the_keyboard_reaches_everything_and_escape_leads_back(tab: Tab, shown: Stand) -> None:
    enter(tab, shown)
    make_incident(shown)
    tab.wait("document.querySelectorAll('#incident-rows button').length > 0")
    tab.reload()  # the focus begins at the top
    tab.wait("document.querySelectorAll('#incident-rows button').length > 0")
    places = []
    for _ in range(60):
        tab.press("Tab")
        places.append(str(tab.value(FOCUS)))
        assert tab.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if places[-1].startswith("Details of the incident"):
            break
    wanted = ["key", "forget", "theme", "ratio", "floor", "Drain", "Readmit", "Details"]
    found = [next(n for n, place in enumerate(places) if place.startswith(w)) for w in wanted]
    assert found == sorted(found), places
    tab.press("Enter")
    tab.wait("document.querySelectorAll('#detail .timeline li').length > 0")
    assert tab.value("document.activeElement.id") == "detail-title"
    tab.press("Tab")
    assert tab.value("document.activeElement.id") == "detail-close"
    tab.press("Escape")
    tab.wait("document.getElementById('detail').hidden")
    assert str(tab.value(FOCUS)).startswith("Details of the incident")
    tab.press("Tab", shift=True)
    assert not str(tab.value(FOCUS)).startswith("Details of the incident")


def test_orders_by_keyboard_are_asked_back(tab: Tab, shown: Stand) -> None:
    """Escape gives none; the focus comes back to the button."""
    enter(tab, shown)
    tab.value("document.querySelector('#replicas button[aria-label^=Drain]').focus()")
    tab.press("Enter")
    tab.wait("document.getElementById('confirm').open")
    tab.press("Escape")
    tab.wait("!document.getElementById('confirm').open")
    assert str(tab.value(FOCUS)).startswith("Drain ")
    assert states(tab) == ["healthy"] * 2
