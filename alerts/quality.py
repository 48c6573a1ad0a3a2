"""Alerts on what clients get: bad output, anomalies, acceptance, and the detectors themselves."""

from alerts.recording import (
    ACCEPT_LENGTH,
    ACCEPT_LENGTH_1D,
    MODEL_SHARE,
    REPLICA_ANOMALIES,
    REPLICA_ATTEMPTS,
    REPLICA_SHARE,
    REQUESTS_1D,
    REQUESTS_1H,
    burn,
)
from alerts.rule import BAD_OUTPUT_OBJECTIVE, FALSE_ALARM_OBJECTIVE, Alert, Board, Severity


def _burns(factor: float, long: str, short: str) -> str:
    limit = f"{factor:g} * {BAD_OUTPUT_OBJECTIVE:g}"
    return f"({burn(long)} > {limit} and {burn(short)} > {limit})"


# Of the other replicas together, beside each replica.
_OTHERS = (
    f"(scalar(sum({REPLICA_ANOMALIES.name})) - {REPLICA_ANOMALIES.name}) "
    f"/ clamp_min(scalar(sum({REPLICA_ATTEMPTS.name})) - {REPLICA_ATTEMPTS.name}, 1)"
)
_RUNS = "sum by (replica) (specwatch_in_flight) > 0"
_DRAFTS = "sum by (replica) (rate(specwatch_drafted_tokens_total[10m])) > 0"
_STEPS = "sum by (replica) (increase(specwatch_steps_total[10m])) > 500"
_COLLAPSED = (
    f"{ACCEPT_LENGTH.name} < 0.6 * {ACCEPT_LENGTH_1D.name} and on (replica) {_STEPS} "
    f"and on (replica) {_RUNS}"
)
# A model that was not there a week ago is compared with one anomaly in a thousand.
_A_WEEK_AGO = f"({MODEL_SHARE.name} offset 1w or 0 * {MODEL_SHARE.name} + 0.001)"
_UNWATCHED = "(sum(rate(specwatch_unwatched_requests_total[30m])) or vector(0))"
_WATCHED = "sum(rate(specwatch_requests_total[30m]))"

ALERTS: tuple[Alert, ...] = (
    Alert(
        "BadOutputBudgetBurn",
        f"({_burns(14.4, '1h', '5m')} or {_burns(6, '6h', '30m')}) "
        f"and on (model) {REQUESTS_1H.name} > 1000",
        "2m",
        Severity.PAGE,
        Board.FLEET,
        "Clients of {{ $labels.model }} get bad output fast",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.model }} delivered bad "
        "tokens in the last hours; the budget is 0.1 % over 30 days and is gone in two to five "
        "days at this rate.",
    ),
    Alert(
        "BadOutputBudgetBurnSlow",
        f"({_burns(3, '1d', '2h')} or {_burns(1, '3d', '6h')}) "
        f"and on (model) {REQUESTS_1D.name} > 1000",
        "15m",
        Severity.TICKET,
        Board.FLEET,
        "Clients of {{ $labels.model }} get bad output steadily",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.model }} delivered bad "
        "tokens over the last days; the budget of 0.1 % over 30 days does not last.",
    ),
    Alert(
        "ReplicaAnomalyOutlier",
        f"{REPLICA_SHARE.name} > 5 * ({_OTHERS}) and {REPLICA_ANOMALIES.name} > 5 "
        f"and on () (count({REPLICA_ATTEMPTS.name} > 0) > 1)",
        "15s",
        Severity.PAGE,
        Board.REPLICA,
        "{{ $labels.replica }} is sick",
        "{{ $value | humanizePercentage }} of the attempts on {{ $labels.replica }} were anomalous "
        "in the last 15 minutes, more than five times what the other replicas show.",
    ),
    Alert(
        "FleetAnomalyShift",
        f"{MODEL_SHARE.name} > 3 * {_A_WEEK_AGO} "
        "and on (model) sum by (model) (increase(specwatch_detections_total[1h])) > 20 "
        f"and on () (count({REPLICA_ANOMALIES.name} > 0) / count({REPLICA_ATTEMPTS.name} > 0) "
        "> 0.5)",
        "5m",
        Severity.PAGE,
        Board.FLEET,
        "Most replicas show anomalies of {{ $labels.model }}",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.model }} met an anomaly "
        "in the last hour, over three times what it was a week ago, and on more than half of the "
        "replicas.",
    ),
    Alert(
        "AcceptLengthCollapse",
        _COLLAPSED,
        "10m",
        Severity.TICKET,
        Board.REPLICA,
        "The accept length of {{ $labels.replica }} has collapsed",
        "{{ $value | humanize }} tokens a step on {{ $labels.replica }}, under 60 % of its own "
        "median over the last day.",
    ),
    Alert(
        "AcceptLengthCollapseWithAnomalies",
        f"{_COLLAPSED} and on (replica) {REPLICA_ANOMALIES.name} > 5",
        "2m",
        Severity.PAGE,
        Board.REPLICA,
        "{{ $labels.replica }} accepts few drafts and gives bad answers",
        "{{ $value | humanize }} tokens a step on {{ $labels.replica }}, under 60 % of its own "
        "median over the last day, and more than five anomalies in 15 minutes.",
    ),
    Alert(
        "AcceptLengthPinnedAtOne",
        f"{ACCEPT_LENGTH.name} <= 1.05 and on (replica) {_DRAFTS} and on (replica) {_STEPS}",
        "10m",
        Severity.TICKET,
        Board.REPLICA,
        "The drafter of {{ $labels.replica }} is dead",
        "{{ $value | humanize }} tokens a step on {{ $labels.replica }} although drafts are "
        "proposed: speculation costs time and brings nothing.",
    ),
    Alert(
        "DetectorBlind",
        "sum by (instance) (increase(specwatch_requests_total[10m])) > 20 "
        "unless on (instance) sum by (instance) (rate(specwatch_inspected_tokens_total[10m])) > 0",
        "5m",
        Severity.PAGE,
        Board.PROXY,
        "{{ $labels.instance }} looks at no tokens",
        "{{ $value | humanize }} requests went through {{ $labels.instance }} in ten minutes and "
        "its detectors saw not one token.",
    ),
    Alert(
        "CoverageLow",
        f"{_WATCHED} / ({_WATCHED} + {_UNWATCHED}) < 0.99 "
        "and on () sum(increase(specwatch_requests_total[30m])) > 100",
        "30m",
        Severity.TICKET,
        Board.PROXY,
        "Some generations are not watched",
        "Only {{ $value | humanizePercentage }} of the generation requests were watched in the "
        "last half hour.",
    ),
    Alert(
        "FalsePositiveBudget",
        'max(specwatch_judge_false_alarm_share{kind="high"}) '
        "* (sum(increase(specwatch_detections_total[1d])) "
        "/ sum(increase(specwatch_requests_total[1d]))) "
        f"> {FALSE_ALARM_OBJECTIVE:g} "
        'and on () sum(specwatch_judge_texts_total{kind="incident"}) > 30',
        "1h",
        Severity.TICKET,
        Board.FLEET,
        "Too many healthy answers may be stopped",
        "Up to {{ $value | humanizePercentage }} of all requests were stopped although the judge "
        "held them for fine (upper 95 % bound); 0.1 % are allowed.",
    ),
)
