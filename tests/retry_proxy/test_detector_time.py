"""Detectors are timed where they are called; one that is slow again and again is left out."""

from dataclasses import replace
from time import sleep

from detectors.observation import Observation
from detectors.panel import Panel
from detectors.verdict import Verdict
from retry_proxy.app import GenerationEndpoint, build_services
from retry_proxy.detector_time import SLOW_SECONDS, DetectorTime
from retry_proxy.engines.call import Route
from retry_proxy.pass_through import PassThrough
from retry_proxy.stream.choice_panels import ChoicePanels
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, proxy_for, request_body, words

SEEN = Observation(text=" word")
SLOW = SLOW_SECONDS * 1.5


class Time:
    """A clock that detectors move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Taking:
    """A detector whose updates take as long as they are told to, in turn."""

    is_watching = False

    def __init__(self, name: str, time: Time, *seconds: float) -> None:
        self.name = name
        self.updates = 0
        self._time = time
        self._seconds = seconds

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        self._time.now += self._seconds[self.updates % len(self._seconds)]
        self.updates += 1
        return None


class Sleeping:
    """A detector that hangs for a while on every update."""

    name = "sleeping"
    is_watching = False

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        sleep(SLOW)
        return None


def show(panel: Panel, time: Time, updates: int) -> tuple[ChoicePanels, DetectorTime]:
    spent = DetectorTime()
    panels = ChoicePanels(lambda: panel, spent, time)
    for _ in range(updates):
        panels.update_single(SEEN)
    return panels, spent


def test_the_time_of_all_updates_is_added_up() -> None:
    time = Time()
    panels, spent = show(Panel([Taking("a", time, 0.001), Taking("b", time, 0.002)]), time, 100)
    assert round(spent.seconds, 6) == 0.3
    assert panels.crashed == []


def test_the_slow_one_goes_and_the_others_stay() -> None:
    """The first slow update raises the suspicion, three more settle it."""
    time = Time()
    slow, quick = Taking("slow", time, SLOW), Taking("quick", time, 0.001)
    panels, spent = show(Panel([slow, quick]), time, 100)
    assert panels.crashed == ["slow"]
    assert (slow.updates, quick.updates) == (4, 100)
    assert spent.seconds < 5 * SLOW + 0.2


def test_a_busy_machine_is_no_reason() -> None:
    """One slow update in forty."""
    time = Time()
    now_and_then = Taking("a", time, SLOW, *[0.001] * 39)
    panels, _ = show(Panel([now_and_then]), time, 4000)
    assert (panels.crashed, now_and_then.updates) == ([], 4000)


def test_many_quick_ones_that_are_slow_together_all_stay() -> None:
    time = Time()
    crowd = [Taking(str(number), time, SLOW_SECONDS / 2) for number in range(4)]
    panels, _ = show(Panel(crowd), time, 50)
    assert panels.crashed == []


async def test_a_detector_that_hangs_costs_the_client_nothing_but_time() -> None:
    """Told with the crashes, and forgotten with the attempt."""
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        services = replace(
            build_services(proxy.config, proxy.sink, proxy.fleet),
            build_panel=lambda *_: Panel([Sleeping()]),
        )
        endpoint = GenerationEndpoint(Route.CHAT, services, PassThrough(proxy.fleet, 2**20))
        for _ in range(2):
            got = await post(endpoint, CHAT, request_body(CHAT))
            assert (got.text(), got.is_done) == (words(40), True)
        assert proxy.fleet.detector_errors() == {"sleeping": 2}
        assert proxy.fleet.detector_time.seconds > 8 * SLOW_SECONDS
