"""Every metric that specwatch exports, once. Knows names, labels and buckets, and no numbers."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class MetricType(enum.StrEnum):
    """The Prometheus type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: full name as scraped; a counter ends in ``_total``.
        unit: what one is: ``requests``, ``tokens``, ``seconds``, ``ratio`` …
        labels: label names; each has few values (see ``monitor/labels.py``).
        buckets: upper bounds of a histogram, without infinity.
    """

    name: str
    type: MetricType
    unit: str
    help: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()


_ACCEPT_LENGTH = (1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 6.0)
_ACCEPT_RATE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.94, 0.96, 0.98, 1.0)
_TOKENS = (0.0, 8.0, 16.0, 32.0, 64.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)
_DELAY = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_DURATION = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)

REQUESTS = Metric(
    "specwatch_requests_total",
    MetricType.COUNTER,
    "requests",
    "Client requests that ended, by what the client got.",
    ("model", "outcome"),
)
ATTEMPTS = Metric(
    "specwatch_attempts_total",
    MetricType.COUNTER,
    "attempts",
    "Dispatches of a request to a replica that ended, by how.",
    ("replica", "engine", "outcome"),
)
ANOMALIES = Metric(
    "specwatch_anomalies_total",
    MetricType.COUNTER,
    "verdicts",
    "Attempts with a verdict, whether stopped or let through and marked.",
    ("kind", "replica", "detector"),
)
ACCEPT_LENGTH = Metric(
    "specwatch_accept_length",
    MetricType.HISTOGRAM,
    "tokens",
    "Tokens out per verification step over a whole attempt, bonus token included.",
    ("replica", "model"),
    _ACCEPT_LENGTH,
)
ACCEPT_RATE = Metric(
    "specwatch_accept_rate",
    MetricType.HISTOGRAM,
    "ratio",
    "Share of the proposed draft tokens that were kept over a whole attempt.",
    ("replica", "model"),
    _ACCEPT_RATE,
)
DETECTION_TOKENS = Metric(
    "specwatch_detection_tokens",
    MetricType.HISTOGRAM,
    "tokens",
    "Tokens from the estimated onset of an anomaly to its alarm.",
    ("kind",),
    _TOKENS,
)
LEAKED_TOKENS = Metric(
    "specwatch_leaked_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens after the estimated onset that had reached the client before the alarm.",
    ("kind",),
)
WASTED_TOKENS = Metric(
    "specwatch_wasted_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens generated and thrown away, by how their attempt ended.",
    ("reason",),
)
RETRIES = Metric(
    "specwatch_retries_total",
    MetricType.COUNTER,
    "attempts",
    "Attempts of a request after one that failed, by how they ended.",
    ("outcome",),
)
HEDGES = Metric(
    "specwatch_hedges_total",
    MetricType.COUNTER,
    "attempts",
    "Attempts dispatched beside one without a first token, by how they ended; outrun: the first "
    "replica was quicker after all.",
    ("outcome",),
)
RETRIES_REFUSED = Metric(
    "specwatch_retries_refused_total",
    MetricType.COUNTER,
    "requests",
    "Requests that needed another attempt and were refused one.",
    ("reason",),
)
ADDED_DELAY = Metric(
    "specwatch_added_delay_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "What watching and retrying cost the client: time until the delivering attempt was sent "
    "plus the longest hold-back.",
    ("model",),
    _DELAY,
)
HELD = Metric(
    "specwatch_held_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Longest time by which the hold-back delayed text of one attempt.",
    ("replica",),
    _DELAY,
)
REQUEST_DURATION = Metric(
    "specwatch_request_duration_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Time from a client's request to the last byte of its answer.",
    ("model", "outcome"),
    _DURATION,
)
TIME_TO_FIRST_BYTE = Metric(
    "specwatch_time_to_first_byte_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Time from a client's request to the first byte of its answer.",
    ("model",),
    _DURATION,
)
COMPLETION_TOKENS = Metric(
    "specwatch_completion_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens of the answers that clients got.",
    ("model",),
)
REPLICA_STATE = Metric(
    "specwatch_replica_state",
    MetricType.GAUGE,
    "flag",
    "1 for the state that a replica is in, 0 for the others.",
    ("replica", "state"),
)
REPLICA_CHANGES = Metric(
    "specwatch_replica_changes_total",
    MetricType.COUNTER,
    "changes",
    "Times that a replica moved into a state.",
    ("replica", "state"),
)
FLEET_TROUBLES = Metric(
    "specwatch_fleet_troubles_total",
    MetricType.COUNTER,
    "events",
    "Troubles that taking out a replica does not cure: most replicas are sick alike, or one that "
    "stands out must stay in (too many are out already, or it is the last healthy one).",
    ("kind",),
)
OUTSTANDING_TOKENS = Metric(
    "specwatch_outstanding_tokens",
    MetricType.GAUGE,
    "tokens",
    "Estimated tokens of the attempts that now run on a replica, prompts included.",
    ("replica",),
)
IN_FLIGHT = Metric(
    "specwatch_in_flight",
    MetricType.GAUGE,
    "attempts",
    "Attempts now running on a replica.",
    ("replica",),
)
EVENTS_DROPPED = Metric(
    "specwatch_events_dropped_total",
    MetricType.COUNTER,
    "events",
    "Events that the monitor could not keep, by why.",
    ("reason",),
)
DETECTOR_ERRORS = Metric(
    "specwatch_detector_errors_total",
    MetricType.COUNTER,
    "errors",
    "Detectors that crashed, or took too long too often; the stream they watched went on without "
    "them.",
    ("detector",),
)
DETECTOR_SECONDS = Metric(
    "specwatch_detector_seconds_total",
    MetricType.COUNTER,
    "seconds",
    "Time that this process spent in detectors.",
)
DRAFT_HEALTH = Metric(
    "specwatch_replica_draft_health",
    MetricType.GAUGE,
    "flag",
    "1 while a replica's drafter works, 0 while it is dead; no series while that is not known.",
    ("replica",),
)
JUDGE_TEXTS = Metric(
    "specwatch_judge_texts_total",
    MetricType.COUNTER,
    "texts",
    "Texts that the judge gave a second opinion on, by why they were chosen and its opinion.",
    ("source", "opinion"),
)
JUDGE_DROPPED = Metric(
    "specwatch_judge_dropped_total",
    MetricType.COUNTER,
    "texts",
    "Texts chosen for the judge that it did not judge, by why.",
    ("reason",),
)
JUDGE_UP = Metric(
    "specwatch_judge_up",
    MetricType.GAUGE,
    "flag",
    "1 while the judge's process answers; no series without --judge.",
)
JUDGE_FALSE_ALARMS = Metric(
    "specwatch_judge_false_alarm_share",
    MetricType.GAUGE,
    "ratio",
    "Incidents held for fine among those with a clear opinion: estimate and 95 % interval.",
    ("bound",),
)
JUDGE_MISSES = Metric(
    "specwatch_judge_miss_share",
    MetricType.GAUGE,
    "ratio",
    "Answers without a finding held for sick, among those sampled that got a clear opinion: "
    "estimate and 95 % interval.",
    ("bound",),
)
STORE_UP = Metric(
    "specwatch_store_up",
    MetricType.GAUGE,
    "flag",
    "1 while the shared store answers; always 1 for the store in memory.",
    ("store",),
)
STORE_ERRORS = Metric(
    "specwatch_store_errors_total",
    MetricType.COUNTER,
    "errors",
    "Calls to the shared store that failed.",
    ("store",),
)
STORE_DROPPED = Metric(
    "specwatch_store_dropped_total",
    MetricType.COUNTER,
    "records",
    "Records that never reached the shared store, because it was away for too long.",
    ("store",),
)
BASELINES_REFUSED = Metric(
    "specwatch_baselines_refused_total",
    MetricType.COUNTER,
    "values",
    "Values among the shared baselines that are none, and keys of another type; no series without "
    "--redis.",
)
RECORDED = Metric(
    "specwatch_recorded_total",
    MetricType.COUNTER,
    "requests",
    "Requests written to the recording of --record.",
)
RECORD_DROPPED = Metric(
    "specwatch_record_dropped_total",
    MetricType.COUNTER,
    "requests",
    "Requests that the recording of --record lacks, by why.",
    ("reason",),
)
RECORD_UP = Metric(
    "specwatch_record_up",
    MetricType.GAUGE,
    "flag",
    "1 while traffic is recorded, 0 after the disk refused; no series without --record.",
)
BUILD_INFO = Metric(
    "specwatch_build_info",
    MetricType.GAUGE,
    "flag",
    "Always 1; its labels say what is running.",
    ("version", "python"),
)

CATALOG: tuple[Metric, ...] = (
    REQUESTS,
    ATTEMPTS,
    ANOMALIES,
    ACCEPT_LENGTH,
    ACCEPT_RATE,
    DETECTION_TOKENS,
    LEAKED_TOKENS,
    WASTED_TOKENS,
    RETRIES,
    HEDGES,
    RETRIES_REFUSED,
    ADDED_DELAY,
    HELD,
    REQUEST_DURATION,
    TIME_TO_FIRST_BYTE,
    COMPLETION_TOKENS,
    REPLICA_STATE,
    REPLICA_CHANGES,
    FLEET_TROUBLES,
    OUTSTANDING_TOKENS,
    IN_FLIGHT,
    EVENTS_DROPPED,
    DETECTOR_ERRORS,
    DETECTOR_SECONDS,
    DRAFT_HEALTH,
    JUDGE_TEXTS,
    JUDGE_DROPPED,
    JUDGE_UP,
    JUDGE_FALSE_ALARMS,
    JUDGE_MISSES,
    STORE_UP,
    STORE_ERRORS,
    STORE_DROPPED,
    BASELINES_REFUSED,
    RECORDED,
    RECORD_DROPPED,
    RECORD_UP,
    BUILD_INFO,
)

# Read where they are kept, at each scrape (``monitor/collector.py``); the rest is moved by events.
PULLED: frozenset[Metric] = frozenset(
    {
        *(REPLICA_STATE, IN_FLIGHT, OUTSTANDING_TOKENS, DRAFT_HEALTH),
        *(DETECTOR_ERRORS, DETECTOR_SECONDS),
        *(STORE_UP, STORE_ERRORS, STORE_DROPPED, BASELINES_REFUSED),
        *(RECORDED, RECORD_DROPPED, RECORD_UP),
        *(JUDGE_TEXTS, JUDGE_DROPPED, JUDGE_UP, JUDGE_FALSE_ALARMS, JUDGE_MISSES),
    }
)
