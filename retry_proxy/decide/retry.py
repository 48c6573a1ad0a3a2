"""What to do when an attempt goes bad. Pure: takes the situation, returns a decision."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from detectors.verdict import AnomalyKind


class Action(enum.Enum):
    """What the relay does next."""

    RESTART = "restart"  # another replica does the whole request, the client has seen nothing
    CONTINUE = "continue"  # another replica goes on after the released prefix
    LET_THROUGH = "let_through"  # the attempt runs to its end and is marked
    FAIL = "fail"  # a typed error


class Refusal(enum.StrEnum):
    """Why there is no further attempt."""

    ATTEMPTS = "attempts"
    DEADLINE = "deadline"
    NO_REPLICA = "no_replica"
    NOT_CONTINUABLE = "not_continuable"
    BUDGET = "budget"
    ABORTS = "aborts"  # too many generations were stopped on this replica already


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict on an attempt of this request."""

    replica: str
    kind: AnomalyKind


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision depends on.

    Attributes:
        attempts: attempts so far that reached an engine, the current one included.
        findings: verdicts so far, the current one last.
        has_other_replica: a replica that was not tried yet would take the request.
        has_released: the client has text.
        can_continue: the engine can go on from what was released.
        is_within_budget: the retry budget has one left.
        may_abort: the running attempt's replica is within its limit of aborts.
    """

    attempts: int
    max_attempts: int
    now: float
    deadline_at: float
    findings: Sequence[Finding]
    has_other_replica: bool
    has_released: bool
    can_continue: bool
    is_within_budget: bool
    lets_through: bool
    may_abort: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, and why there is no retry if there is none."""

    action: Action
    refusal: Refusal | None = None

    @property
    def is_retry(self) -> bool:
        return self.action in (Action.RESTART, Action.CONTINUE)


def decide_on_verdict(situation: Situation) -> Decision:
    """The running attempt got a verdict: it is stopped and done again, or let through, or an error.

    Without a retry left it is let through when the model or the prompt is the likely cause:
        different replicas showed the same kind, or nobody else could be asked (a false alarm must
        not become a refusal), or it is a loop: models fall into those by themselves, also after
        another replica's cache was damaged. Else, replicas that disagree in kind point at the
        infrastructure: a typed error.
    """
    refusal = _refusal(situation)
    if refusal is None and not situation.may_abort:
        refusal = Refusal.ABORTS
    if refusal is None:
        return Decision(Action.CONTINUE if situation.has_released else Action.RESTART)
    may_pass = refusal is not Refusal.NOT_CONTINUABLE or is_confirmed(situation.findings)
    if situation.lets_through and may_pass and not _is_contradicted(situation.findings):
        return Decision(Action.LET_THROUGH, refusal)
    return Decision(Action.FAIL, refusal)


def decide_on_failure(situation: Situation) -> Decision:
    """The attempt was cut, stalled or malformed: there is nothing to let through."""
    refusal = _refusal(situation)
    if refusal is None:
        return Decision(Action.CONTINUE if situation.has_released else Action.RESTART)
    return Decision(Action.FAIL, refusal)


def is_confirmed(findings: Sequence[Finding]) -> bool:
    """At least two replicas showed the kind of the last finding."""
    return bool(showed_the_same(findings))


def showed_the_same(findings: Sequence[Finding]) -> set[str]:
    """The other replicas that showed the kind of the last finding."""
    last = findings[-1]
    return {one.replica for one in findings if one.kind is last.kind} - {last.replica}


def _is_contradicted(findings: Sequence[Finding]) -> bool:
    if len(findings) < 2 or findings[-1].kind is AnomalyKind.REPETITION:
        return False
    return not is_confirmed(findings)


def _refusal(situation: Situation) -> Refusal | None:
    checks = (
        (situation.attempts < situation.max_attempts, Refusal.ATTEMPTS),
        (situation.now < situation.deadline_at, Refusal.DEADLINE),
        (situation.has_other_replica, Refusal.NO_REPLICA),
        (not situation.has_released or situation.can_continue, Refusal.NOT_CONTINUABLE),
        (situation.is_within_budget, Refusal.BUDGET),
    )
    return next((refusal for is_met, refusal in checks if not is_met), None)
