"""What an alarm was worth, and what it cost: against a watcher that alarms where it is told."""

import json
from typing import Any

import pytest

from detectors.draft_health import DraftState
from detectors.observation import Observation
from detectors.verdict import AnomalyKind, Verdict
from monitor.offline.cost import measure_cost, stream_bytes
from monitor.offline.evaluate import ALL, HEALTHY, PANEL, PUBLISHED, evaluate, group_of
from monitor.offline.loops import final_loop, recycled_from
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.scores import Score, percentile
from monitor.offline.table import COLUMNS, rows
from monitor.offline.trials import Outcome, Trial, build_case, try_case
from tests.detectors.streams import PROSE


class Scripted:
    """Alarms once ``alarm`` tokens are out, and watches from ``watch`` on."""

    def __init__(
        self,
        alarm: int | None,
        watch: int = 10_000,
        kind: AnomalyKind = AnomalyKind.GARBLED,
    ) -> None:
        self._alarm, self._watch, self._kind = alarm, watch, kind
        self._tokens = 0

    @property
    def is_watching(self) -> bool:
        return self._tokens >= self._watch

    def update(self, observation: Observation) -> Verdict | None:
        self._tokens += observation.new_tokens or 0
        if self._alarm is None or self._tokens < self._alarm:
            return None
        return Verdict(self._kind, "scripted", 1.0, 0, self._tokens)


def recording(tokens: int = 100, onset: int | None = None, loop_from: int = 100) -> Recording:
    """Distinct token ids up to ``loop_from``, then a cycle of four."""
    ids = [*range(loop_from), *(500 + number % 4 for number in range(tokens - loop_from))]
    fault = "none" if onset is None else "noise"
    return Recording(id="a", token_ids=tuple(ids), fault=fault, onset_token=onset)


def trial(watcher: Scripted, record: Recording, slack: int = 0) -> Trial:
    return try_case(build_case(record), watcher, slack)


@pytest.mark.parametrize(
    ("onset", "alarm", "outcome", "delay", "leaked"),
    [
        (40, 60, Outcome.HIT, 20, 19),
        (40, 41, Outcome.HIT, 1, 0),
        (40, 40, Outcome.FALSE_ALARM, None, None),  # the first bad token is the 41st
        (40, None, Outcome.MISSED, None, 60),
        (None, 60, Outcome.FALSE_ALARM, None, None),
        (None, None, Outcome.QUIET, None, None),
        (0, 1, Outcome.HIT, 1, 0),
    ],
)
def test_outcomes(
    onset: int | None,
    alarm: int | None,
    outcome: Outcome,
    delay: int | None,
    leaked: int | None,
) -> None:
    """An alarm before the onset is a false alarm, not a hit."""
    found = trial(Scripted(alarm), recording(onset=onset))
    assert (found.outcome, found.delay, found.leaked) == (outcome, delay, leaked)


def test_a_known_inaccuracy_of_the_onset_is_forgiven() -> None:
    """On demand only."""
    assert trial(Scripted(35), recording(onset=40), slack=8).outcome is Outcome.HIT
    assert trial(Scripted(31), recording(onset=40), slack=8).outcome is Outcome.FALSE_ALARM


def test_held_text_is_dropped_by_the_alarm_and_counted_while_healthy() -> None:
    """It watches from token 38: 39 and 40 are healthy and held, the bad ones never go out."""
    found = trial(Scripted(60, watch=39), recording(onset=40))
    assert (found.leaked, found.held, found.healthy_tokens) == (0, 2, 40)


def test_what_is_held_goes_out_at_the_end() -> None:
    """Without an alarm the answer is given in full."""
    assert trial(Scripted(None, watch=10), recording(onset=40)).leaked == 60


def test_a_true_loop_is_neither_hit_nor_false_alarm() -> None:
    """Repetition only, and only once the loop has begun."""
    loops = recording(loop_from=40)
    repetition = AnomalyKind.REPETITION
    assert trial(Scripted(60, kind=repetition), loops).outcome is Outcome.TRUE_LOOP
    assert trial(Scripted(40, kind=repetition), loops).outcome is Outcome.FALSE_ALARM
    assert trial(Scripted(60), loops).outcome is Outcome.FALSE_ALARM


def test_a_text_that_was_called_good_is_good() -> None:
    """A table may look like a loop; whoever flags it is wrong."""
    text = "| | | |\n" * 60
    good = Recording(id="a", text=text, label="good")
    found = trial(Scripted(60, kind=AnomalyKind.REPETITION), good)
    assert found.outcome is Outcome.FALSE_ALARM


def test_damage_after_a_true_loop_tells_nothing_about_recall() -> None:
    """Whoever stopped the loop was right."""
    record = recording(tokens=100, onset=99, loop_from=40)
    score = Score([trial(Scripted(60, kind=AnomalyKind.REPETITION), record)])
    assert (score.recall.trials, score.false_alarms.events, score.true_loops.events) == (0, 0, 1)


def test_the_onset_of_a_text_is_found_by_its_character() -> None:
    """Token indices of another tokenizer would not fit."""
    record = Recording(text="abcd" * 50, label="garbled", onset_token=3, onset_char=100)
    case = build_case(record)
    assert case.onset is not None
    assert case.onset == pytest.approx(case.tokens / 2, abs=1)


@pytest.mark.parametrize(
    ("symbols", "start"),
    [
        ([*range(30), *[1, 2, 3] * 16], 30),
        ([*range(30), *[1, 2, 3] * 15], None),  # 45 are too few
        ([*range(30), *list(range(40)) * 2], None),  # two copies are too few
        ([7] * 48, 0),
        ([*[1, 2, 3] * 30, 9], None),  # it ended
        ([], None),
    ],
)
def test_final_loops_by_brute_force(symbols: list[int], start: int | None) -> None:
    """48 symbols and three copies, up to the very end."""
    assert final_loop(symbols) == start


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank."""
    assert [percentile([1, 2, 3, 4], at) for at in (0, 50, 95, 100)] == [1, 2, 4, 4]
    assert percentile([], 50) is None


def small_set() -> list[Recording]:
    """Two healthy ones, one damaged in its drafts and one only meant to be."""
    healthy = (2, 0, 1, 3, 1, 2, 0, 2) * 25
    damaged = (*healthy[:40], *(0,) * 200)
    rest: dict[str, Any] = {"model": "m", "num_drafts": 3}
    return [
        Recording(id="a", text=PROSE[:99], accepted_per_step=healthy, fault="none", **rest),
        Recording(id="b", text=PROSE[99:198], accepted_per_step=healthy, fault="noise", **rest),
        Recording(
            id="c",
            text=PROSE[198:297],
            accepted_per_step=damaged,
            drafted_per_step=(3,) * len(damaged),
            fault="noise",
            onset_token=96,
            temperature=0.7,
            **rest,
        ),
    ]


def test_evaluate_compares_all_on_the_same_recordings() -> None:
    """Panel, detectors, rivals; the published rule finds the late damage late or never."""
    found = evaluate(small_set(), Panels(state=DraftState.HEALTHY))
    panel = found.scores[PANEL]
    assert set(panel) == {ALL, HEALTHY, "noise"}
    assert (panel["noise"].recall.events, panel["noise"].recall.trials) == (1, 1)
    assert panel[ALL].false_alarms.events == 0
    assert panel[ALL].false_alarms.trials == 3
    assert PUBLISHED in found.scores
    assert set(found.costs) == set(found.scores)
    assert all(cost.stream_bytes > 0 for cost in found.costs.values())
    assert all(len(cells) == len(COLUMNS) for cells in rows(found))
    assert json.loads(json.dumps(found.to_dict()))["records"] == 3


def test_the_order_of_the_recordings_does_not_matter() -> None:
    """Each gets a fresh detector."""
    one, other = (evaluate(each, Panels()) for each in (small_set(), small_set()[::-1]))
    assert {name: groups[ALL].to_dict() for name, groups in one.scores.items()} == {
        name: groups[ALL].to_dict() for name, groups in other.scores.items()
    }


def test_groups_are_named_by_their_values() -> None:
    """A dash where a record does not say."""
    *_, damaged = small_set()
    assert group_of(damaged, ("class", "temperature")) == "noise 0.7"
    assert group_of(Recording(text="x"), ("class", "split")) == f"{HEALTHY} -"


class _Keeps:
    """Remembers every token; shares a table."""

    SHARED = tuple(range(10_000))
    is_watching = False

    def __init__(self) -> None:
        self.table = self.SHARED
        self.kept: list[bytes] = []

    def update(self, observation: Observation) -> Verdict | None:
        self.kept.append(bytes(1_000 + len(self.kept)))
        return None


def test_memory_counts_what_a_stream_owns_and_not_what_all_share() -> None:
    """Deep, not only the outermost object."""
    used = _Keeps()
    for _ in range(5):
        used.update(Observation())
    owned = stream_bytes(used, (_Keeps(), _Keeps()))
    assert 5_000 < owned < 8_000
    cost = measure_cost(lambda _: _Keeps(), [build_case(recording(tokens=5, loop_from=5))])
    assert cost is not None
    assert 5_000 < cost.stream_bytes < 8_000


@pytest.mark.parametrize(
    ("symbols", "start"),
    [
        ([*range(300), *[1, 2, 3, 4, 5, 6, 7] * 30, *range(300, 400)], 275),  # a loop that ended
        ([*range(1000)], None),
        ([*range(40), *range(40)], None),  # said twice
        ([], None),
    ],
)
def test_stretches_that_say_the_same_again(symbols: list[int], start: int | None) -> None:
    """Four fifths of the 4-grams of 128 symbols had been seen."""
    found = recycled_from(symbols)
    assert (found is None) == (start is None)
    if start is not None and found is not None:
        assert abs(found - start) <= 8
