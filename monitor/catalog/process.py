"""Metrics of this process: what it is, its store, its memory, and whether it keeps up."""

from monitor.catalog.metric import Metric, MetricType, metrics_of

EVENTS_DROPPED = Metric(
    "specwatch_events_dropped_total",
    MetricType.COUNTER,
    "events",
    "Events that the monitor could not keep, by why.",
    ("outcome",),
)
STORE_UP = Metric(
    "specwatch_store_up",
    MetricType.GAUGE,
    "flag",
    "1 while the shared store answers; always 1 for the store in memory.",
    ("kind",),
    is_pulled=True,
)
STORE_CALLS = Metric(
    "specwatch_store_calls_total",
    MetricType.COUNTER,
    "calls",
    "Calls to the shared store that were made.",
    ("kind",),
    is_pulled=True,
)
STORE_SECONDS = Metric(
    "specwatch_store_seconds_total",
    MetricType.COUNTER,
    "seconds",
    "Time that these calls took.",
    ("kind",),
    is_pulled=True,
)
STORE_SLOW = Metric(
    "specwatch_store_slow_calls_total",
    MetricType.COUNTER,
    "calls",
    "Those of them that took more than 50 ms.",
    ("kind",),
    is_pulled=True,
)
STORE_ERRORS = Metric(
    "specwatch_store_errors_total",
    MetricType.COUNTER,
    "errors",
    "Calls to the shared store that failed.",
    ("kind",),
    is_pulled=True,
)
STORE_AWAY = Metric(
    "specwatch_store_away_seconds_total",
    MetricType.COUNTER,
    "seconds",
    "Time for which the shared store was away and this process went on with what it knew.",
    ("kind",),
    is_pulled=True,
)
STORE_DROPPED = Metric(
    "specwatch_store_dropped_total",
    MetricType.COUNTER,
    "records",
    "Records that never reached the shared store, because it was away for too long.",
    ("kind",),
    is_pulled=True,
)
STORE_UNREADABLE = Metric(
    "specwatch_store_unreadable_total",
    MetricType.COUNTER,
    "records",
    "Records in the shared store that this version could not read, each time it tried.",
    ("kind",),
    is_pulled=True,
)
BASELINES_REFUSED = Metric(
    "specwatch_baselines_refused_total",
    MetricType.COUNTER,
    "values",
    "Values among the shared baselines that are none, and keys of another type; no series without "
    "--redis.",
    is_pulled=True,
)
RECORDED = Metric(
    "specwatch_recorded_total",
    MetricType.COUNTER,
    "requests",
    "Requests written to the recording of --record.",
    is_pulled=True,
)
RECORD_DROPPED = Metric(
    "specwatch_record_dropped_total",
    MetricType.COUNTER,
    "requests",
    "Requests that the recording of --record lacks, by why.",
    ("outcome",),
    is_pulled=True,
)
RECORD_UP = Metric(
    "specwatch_record_up",
    MetricType.GAUGE,
    "flag",
    "1 while traffic is recorded, 0 after the disk refused; no series without --record.",
    is_pulled=True,
)
MEMORY = Metric(
    "specwatch_memory_bytes",
    MetricType.GAUGE,
    "bytes",
    "Resident memory of this process.",
    is_pulled=True,
)
MEMORY_LIMIT = Metric(
    "specwatch_memory_limit_bytes",
    MetricType.GAUGE,
    "bytes",
    "Memory that this process may use: its control group's limit, or the machine's memory.",
    is_pulled=True,
)
LOOP_LAG = Metric(
    "specwatch_event_loop_lag_seconds",
    MetricType.HISTOGRAM,
    "seconds",
    "How much later than asked for the event loop came back, twice a second: every stream waits "
    "for as long.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 5.0),
)
BUILD_INFO = Metric(
    "specwatch_build_info",
    MetricType.GAUGE,
    "flag",
    "Always 1; its labels say what is running.",
    ("version", "python"),
)
CONFIG_INFO = Metric(
    "specwatch_config_info",
    MetricType.GAUGE,
    "flag",
    "Always 1; hashes of the options (without keys) and of baselines and fusion weights: "
    "instances that should be alike show the same.",
    ("config", "panel", "learned"),
)

ALL = metrics_of(vars())
