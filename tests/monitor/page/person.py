"""What a person does with the page first."""

from tests.monitor.page.chromium import Tab
from tests.monitor.page.stand import KEY, Stand

LIVE = "document.getElementById('connection').dataset.state === 'live'"


def enter(tab: Tab, stand: Stand, fragment: str = "") -> None:
    """The page, with the key entered as a person does."""
    tab.open(f"{stand.proxy}/page{fragment}")
    use_key(tab, KEY)
    tab.wait(LIVE)
    tab.wait("document.querySelectorAll('#replicas > li').length === 2")


def use_key(tab: Tab, key: str) -> None:
    tab.value("document.getElementById('key').focus()")
    tab.type(key)
    tab.press("Enter")


def states(tab: Tab) -> list[str]:
    script = "[...document.querySelectorAll('#replicas > li')].map((card) => card.dataset.state)"
    return list(tab.value(script))
