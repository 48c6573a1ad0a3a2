"""All detectors held to one rate of false alarms."""

import math
from collections.abc import Iterable

import pytest

from detectors.draft_health import DraftState
from detectors.observation import Observation
from monitor.offline.fixed_rate import FixedRates, Readings, read
from monitor.offline.gauges import CompressionRatio, PublishedLength, gauges
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.trials import Case


class Scripted:
    """A gauge that reads what it was told."""

    def __init__(self, readings: Iterable[float]) -> None:
        self._readings = iter(readings)

    def update(self, observation: Observation) -> float:
        return next(self._readings)


def case(tokens: int, onset: int | None = None, loop_start: int | None = None) -> Case:
    stream = [Observation(new_tokens=1)] * tokens
    return Case(Recording(text=""), stream, onset, loop_start, tokens)


def test_the_healthy_part_gives_the_peak_and_the_damaged_part_the_rises() -> None:
    found = read(case(6, onset=3), Scripted([1, 5, 2, 3, 3, 7]))
    assert found == Readings(5, 3, ((1, 3), (3, 7)), is_damaged=True, had_loop=False)
    assert found.delay(6) == 3
    assert found.delay(4) is None, "it had alarmed before the onset"
    assert found.delay(7) is None, "never above"


def test_what_comes_after_a_true_loop_began_is_not_healthy() -> None:
    found = read(case(4, loop_start=2), Scripted([1, 2, 9, 9]))
    assert (found.healthy_peak, found.healthy_tokens, found.had_loop) == (2, 2, True)


def test_a_gauge_that_reads_nothing_finds_nothing() -> None:
    found = read(case(3, onset=1), Scripted([-math.inf] * 3))
    assert found.rises == ()
    rates = FixedRates()
    rates.add("noise", found)
    rates.add("healthy", read(case(1000), Scripted([-math.inf] * 1000)))
    assert rates.points(1.0) == {}


def test_without_a_healthy_stream_there_is_no_rate_to_keep() -> None:
    rates = FixedRates()
    rates.add("noise", read(case(3, onset=1), Scripted([0, 1, 2])))
    assert rates.points(1.0) == {}


@pytest.mark.parametrize(("per_million", "false_alarms"), [(0, 0), (1_000, 1), (3_000, 3)])
def test_the_threshold_keeps_the_rate(per_million: float, false_alarms: int) -> None:
    """Ten healthy streams of 100 tokens that peak at 1 to 10."""
    rates = FixedRates()
    for peak in range(1, 11):
        rates.add("healthy", read(case(100), Scripted([peak] * 100)))
    for peak in range(1, 21):
        rates.add("noise", read(case(10, onset=5), Scripted([0] * 5 + [peak] * 5)))
    point = rates.points(per_million)["noise"]
    assert point.threshold == 10 - false_alarms
    assert (point.false_alarms.events, point.false_alarms.trials) == (false_alarms, 1000)
    assert (point.recall.events, point.recall.trials) == (10 + false_alarms, 20)
    assert set(point.delays) == {1}


def test_a_damaged_stream_that_looped_before_tells_nothing() -> None:
    rates = FixedRates()
    rates.add("noise", read(case(10, onset=5, loop_start=2), Scripted([0] * 5 + [9] * 5)))
    assert rates.points(1.0) == {}


def test_the_published_accept_length_is_that_of_the_whole_answer() -> None:
    gauge = PublishedLength()
    step = Observation(new_tokens=2, steps=1)
    readings = [gauge.update(step) for _ in range(65)]
    assert readings[63] == -math.inf  # 128 tokens
    assert readings[64] == 0.5


def test_the_compression_ratio_of_a_loop_is_high() -> None:
    loop, prose = CompressionRatio(), CompressionRatio()
    for number in range(80):
        looping = loop.update(Observation(text="the same words again and again, "))
        plain = prose.update(Observation(text=f"{number * 7919 % 10007} {number:b} words: "))
    assert looping > 5 > plain > 1


def test_every_gauge_reads_higher_on_a_damaged_stream() -> None:
    healthy = (2, 0, 1, 3, 1, 2, 0, 2) * 25
    damaged = (*healthy[:40], *(0,) * 200)
    panels = Panels(state=DraftState.HEALTHY)
    for name in ("fusion", "acceptance", "published accept length"):
        peaks = []
        for accepted in (healthy, damaged):
            gauge = gauges(panels)[name](Recording(model="m", num_drafts=3))
            chunks = [Observation("x", one + 1, None, 1, 3, one) for one in accepted]
            peaks.append(max(map(gauge.update, chunks)))
        assert peaks[1] > peaks[0], name
