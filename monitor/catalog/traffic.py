"""Metrics of requests, attempts and retries, and of what they cost the client."""

from monitor.catalog.metric import Metric, MetricType, metrics_of

_TOKENS = (0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)
_DELAY = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_DURATION = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 320.0)
_FIRST_BYTE = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 40.0)
_BETWEEN_TOKENS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0)

REQUESTS = Metric(
    "specwatch_requests_total",
    MetricType.COUNTER,
    "requests",
    "Watched client requests that ended, by what the client got.",
    ("model", "outcome"),
)
UNWATCHED = Metric(
    "specwatch_unwatched_requests_total",
    MetricType.COUNTER,
    "requests",
    "Generation requests that passed through without being watched, by why.",
    ("outcome",),
)
BAD_OUTPUT = Metric(
    "specwatch_bad_output_total",
    MetricType.COUNTER,
    "requests",
    "Requests whose client got bad tokens: a whole answer that was let through and marked, or what "
    "leaked before a sick attempt was stopped.",
    ("model", "outcome"),
)
ATTEMPTS = Metric(
    "specwatch_attempts_total",
    MetricType.COUNTER,
    "attempts",
    "Dispatches of a request to a replica that ended, by how.",
    ("engine", "outcome"),
)
RETRIES = Metric(
    "specwatch_retries_total",
    MetricType.COUNTER,
    "attempts",
    "Second and later attempts of a request, by how they ended.",
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
    ("outcome",),
)
RETRY_BUDGET = Metric(
    "specwatch_retry_budget_left",
    MetricType.GAUGE,
    "retries",
    "Retries that the budget would allow now.",
    is_pulled=True,
)
WASTED_TOKENS = Metric(
    "specwatch_wasted_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens generated and thrown away, by how their attempt ended.",
    ("outcome",),
)
WASTED_SECONDS = Metric(
    "specwatch_wasted_seconds_total",
    MetricType.COUNTER,
    "seconds",
    "Replica time that went into tokens thrown away: each attempt's duration by the share of its "
    "tokens that was. An estimate: requests of one batch share the time.",
    ("outcome",),
)
COMPLETION_TOKENS = Metric(
    "specwatch_completion_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens of the answers that clients got.",
    ("model",),
)
ADDED_DELAY = Metric(
    "specwatch_added_delay_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "What watching and retrying cost the client: time until the delivering attempt was sent "
    "plus the longest hold-back.",
    buckets=_DELAY,
)
HELD = Metric(
    "specwatch_held_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Longest time by which the hold-back delayed text of one attempt.",
    buckets=_DELAY,
)
HELD_TOKENS = Metric(
    "specwatch_held_tokens",
    MetricType.HISTOGRAM,
    "tokens",
    "Most tokens that the hold-back held of one attempt.",
    buckets=_TOKENS,
)
HELD_SHARE = Metric(
    "specwatch_held_bytes_ratio",
    MetricType.HISTOGRAM,
    "ratio",
    "Most bytes that the hold-back held of one attempt, as a share of --max-held-bytes.",
    buckets=(0.0, 0.01, 0.1, 0.25, 0.5, 0.8, 0.95),
)
CLIENT_STALL = Metric(
    "specwatch_client_stall_seconds_total",
    MetricType.COUNTER,
    "seconds",
    "Time for which streams waited for clients that did not read.",
)
REQUEST_DURATION = Metric(
    "specwatch_request_duration_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Time from a client's request to the last byte of its answer.",
    ("model",),
    _DURATION,
)
TIME_TO_FIRST_BYTE = Metric(
    "specwatch_time_to_first_byte_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Time from a client's request to the first byte of its answer.",
    ("model",),
    _FIRST_BYTE,
)
BETWEEN_TOKENS = Metric(
    "specwatch_between_tokens_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Mean time between two tokens of a streamed answer, as its client saw it.",
    ("model",),
    _BETWEEN_TOKENS,
)
OVERHEAD = Metric(
    "specwatch_proxy_overhead_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "Time from a request's acceptance to its first dispatch to a replica.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 5.0),
)

ALL = metrics_of(vars())
