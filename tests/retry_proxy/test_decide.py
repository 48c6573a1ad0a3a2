"""Decisions: the life cycle's every cell, the retry policy, the budget, the release policy."""

import itertools
from dataclasses import replace

import pytest

from detectors.verdict import AnomalyKind
from retry_proxy.config import ReleaseMode
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.lifecycle import (
    TABLE,
    LifecycleError,
    RequestEvent,
    RequestState,
    advance,
    is_over,
)
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.decide.retry import (
    Action,
    Finding,
    Refusal,
    Situation,
    decide_on_failure,
    decide_on_verdict,
)

GARBLED, REPETITION = AnomalyKind.GARBLED, AnomalyKind.REPETITION
S = RequestState


@pytest.mark.parametrize(
    ("state", "event"),
    list(itertools.product(RequestState, RequestEvent)),
    ids=lambda cell: cell.value,
)
def test_every_cell_of_the_life_cycle(state: RequestState, event: RequestEvent) -> None:
    if event in TABLE[state]:
        assert advance(state, event) is TABLE[state][event]
    else:
        with pytest.raises(LifecycleError):
            advance(state, event)


def test_an_error_after_release_breaks_and_before_it_refuses() -> None:
    assert advance(S.RELEASING, RequestEvent.FAIL) is S.BROKEN
    assert advance(S.RESUMING, RequestEvent.FAIL) is S.BROKEN
    assert advance(S.RUNNING, RequestEvent.FAIL) is S.REFUSED
    assert advance(S.RETRYING, RequestEvent.FAIL) is S.REFUSED


def test_only_terminal_states_have_no_way_out() -> None:
    over = {state for state in RequestState if is_over(state)}
    assert over == {S.ANSWERED, S.REFUSED, S.BROKEN, S.ABANDONED}


SITUATION = Situation(
    attempts=1,
    max_attempts=3,
    now=10.0,
    deadline_at=20.0,
    findings=[Finding("a", GARBLED)],
    has_other_replica=True,
    has_released=False,
    can_continue=True,
    is_within_budget=True,
    lets_through=True,
)
CONFIRMED = [Finding("a", GARBLED), Finding("b", GARBLED)]


@pytest.mark.parametrize("decide", [decide_on_verdict, decide_on_failure])
def test_first_trouble_is_retried(decide: object) -> None:
    assert callable(decide)
    assert decide(SITUATION).action is Action.RESTART
    assert decide(replace(SITUATION, has_released=True)).action is Action.CONTINUE


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"attempts": 3}, Refusal.ATTEMPTS),
        ({"now": 20.0}, Refusal.DEADLINE),
        ({"has_other_replica": False}, Refusal.NO_REPLICA),
        ({"is_within_budget": False}, Refusal.BUDGET),
    ],
)
def test_without_a_retry_left_a_confirmed_anomaly_is_let_through(
    change: dict[str, object], refusal: Refusal
) -> None:
    situation = replace(SITUATION, findings=CONFIRMED, **change)  # type: ignore[arg-type]
    assert decide_on_verdict(situation) == (
        decide_on_verdict(situation).__class__(Action.LET_THROUGH, refusal)
    )
    assert decide_on_verdict(replace(situation, lets_through=False)).action is Action.FAIL
    assert decide_on_failure(situation).action is Action.FAIL


def test_a_second_opinion_that_cannot_be_had_lets_the_answer_through() -> None:
    assert decide_on_verdict(replace(SITUATION, has_other_replica=False)).action is (
        Action.LET_THROUGH
    )


def test_replicas_that_disagree_in_kind_point_at_the_infrastructure() -> None:
    findings = [Finding("a", REPETITION), Finding("b", GARBLED)]
    decision = decide_on_verdict(replace(SITUATION, attempts=3, findings=findings))
    assert decision.action is Action.FAIL


def test_a_loop_after_damage_elsewhere_is_the_models_own() -> None:
    """A healthy replica's model looped where the first one's cache was damaged: seen in the demo,
    where the client got an error instead of an answer."""
    findings = [Finding("a", GARBLED), Finding("b", REPETITION)]
    decision = decide_on_verdict(replace(SITUATION, attempts=3, findings=findings))
    assert decision.action is Action.LET_THROUGH


def test_the_same_replica_twice_confirms_nothing() -> None:
    findings = [Finding("a", GARBLED), Finding("a", GARBLED)]
    decision = decide_on_verdict(replace(SITUATION, attempts=3, findings=findings))
    assert decision.action is Action.FAIL


def test_what_cannot_be_continued_fails_after_release_and_restarts_before() -> None:
    situation = replace(SITUATION, can_continue=False)
    assert decide_on_verdict(situation).action is Action.RESTART
    decision = decide_on_verdict(replace(situation, has_released=True))
    assert (decision.action, decision.refusal) == (Action.FAIL, Refusal.NOT_CONTINUABLE)


def spend_all(budget: RetryBudget, now: float) -> int:
    spent = 0
    while budget.can_spend(now):
        budget.spend(now)
        spent += 1
    return spent


def test_budget_has_a_floor_per_second() -> None:
    budget = RetryBudget(ratio=0.2, min_per_second=10)
    assert [spend_all(budget, float(second)) for second in range(3)] == [10, 10, 10]


def test_budget_earns_a_share_of_the_requests() -> None:
    budget = RetryBudget(ratio=0.2, min_per_second=0)
    for _ in range(1000):
        budget.note_request(5.0)
    assert spend_all(budget, 5.0) == 200


def test_budget_bounds_a_storm() -> None:
    budget = RetryBudget(ratio=0.2, min_per_second=10)
    retries = 0
    for number in range(1000):  # 100 requests a second, each of which wants many retries
        now = number / 100
        budget.note_request(now)
        retries += spend_all(budget, now)
    assert retries <= 0.2 * 1000 + 10 * 10 + 10


def test_budget_forgets_and_survives_a_clock_that_stands() -> None:
    budget = RetryBudget(ratio=1.0, min_per_second=0)
    for _ in range(10):
        budget.note_request(0.0)
    assert not budget.can_spend(1000.0)
    assert not budget.can_spend(999.0)


def test_fraction_of_a_retry_per_second_is_a_floor_too() -> None:
    budget = RetryBudget(ratio=0.0, min_per_second=0.5)
    assert sum(spend_all(budget, float(second)) for second in range(11)) == 5


@pytest.mark.parametrize(
    ("mode", "is_watching", "is_complete", "expected"),
    [
        (ReleaseMode.ADAPTIVE, False, False, True),
        (ReleaseMode.ADAPTIVE, True, False, False),
        (ReleaseMode.ADAPTIVE, True, True, True),
        (ReleaseMode.LIVE, True, False, True),
        (ReleaseMode.BUFFER, False, False, False),
        (ReleaseMode.BUFFER, False, True, True),
    ],
)
def test_release(mode: ReleaseMode, is_watching: bool, is_complete: bool, expected: bool) -> None:
    policy = ReleasePolicy(mode)
    can = policy.can_release(is_watching=is_watching, tokens=5, is_complete=is_complete)
    assert can is expected


def test_adaptive_can_hold_the_first_tokens() -> None:
    policy = ReleasePolicy(ReleaseMode.ADAPTIVE, hold_first_tokens=16)
    assert not policy.can_release(is_watching=False, tokens=15, is_complete=False)
    assert policy.can_release(is_watching=False, tokens=16, is_complete=False)


def test_onset_margin_does_not_go_below_zero() -> None:
    assert ReleasePolicy(ReleaseMode.ADAPTIVE, onset_margin_tokens=8).last_good_token(3) == 0
