"""The error that a client is told when there is no further attempt. Pure."""

from collections.abc import Sequence

from retry_proxy.decide.retry import Decision, Finding, Refusal
from retry_proxy.errors import (
    AnomalyPersisted,
    NoReplicaReachable,
    NotContinuable,
    Unanswered,
    UpstreamFailed,
)


def refused_error(
    decision: Decision, findings: Sequence[Finding], last_failure: str | None
) -> Unanswered:
    """Why the attempt that just ended was the last."""
    refusal = "none" if decision.refusal is None else decision.refusal.value
    if decision.refusal is Refusal.NOT_CONTINUABLE:
        return NotContinuable("the answer was stopped and cannot be continued; send it again")
    if findings and last_failure is None:
        kinds = ", ".join(finding.kind.value for finding in findings)
        return AnomalyPersisted(f"anomalies: {kinds}; no further attempt ({refusal})")
    return UpstreamFailed(f"{last_failure}; no further attempt ({refusal})")


def unreachable_error(reached: int, last_failure: str | None) -> Unanswered:
    """No replica is left to ask.

    Args:
        reached: attempts that did reach an engine.
    """
    if reached == 0:
        return NoReplicaReachable(f"no replica took the request ({last_failure})")
    return UpstreamFailed(f"no replica is left ({last_failure or 'anomalies on all others'})")
