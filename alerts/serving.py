"""Alerts on retries, replicas and the proxies themselves."""

from alerts.recording import RETRY_RATIO
from alerts.rule import Alert, Board, Severity

_SLOW_SHARE = (
    'sum by (instance) (increase(specwatch_store_slow_calls_total{kind="redis"}[10m])) '
    '/ sum by (instance) (increase(specwatch_store_calls_total{kind="redis"}[10m]))'
)
_NEAR_BOUND = (
    "sum by (instance) (increase(specwatch_held_bytes_ratio_count[10m])) "
    '- sum by (instance) (increase(specwatch_held_bytes_ratio_bucket{le="0.8"}[10m]))'
)


def _p99(name: str) -> str:
    return f"histogram_quantile(0.99, sum by (instance, le) (rate({name}_bucket[5m])))"


ALERTS: tuple[Alert, ...] = (
    Alert(
        "RetryStorm",
        f"{RETRY_RATIO.name} > 0.1 and on () sum(increase(specwatch_requests_total[5m])) > 100",
        "2m",
        Severity.PAGE,
        Board.PROXY,
        "Retries load the fleet",
        "{{ $value | humanizePercentage }} retries for each request in the last five minutes; "
        "10 % is the limit.",
    ),
    Alert(
        "RetryBudgetExhausted",
        'sum by (instance) (increase(specwatch_retries_refused_total{outcome="budget"}[5m])) > 0',
        "1m",
        Severity.PAGE,
        Board.PROXY,
        "{{ $labels.instance }} has no retries left",
        "{{ $value | humanize }} requests needed another attempt in five minutes and were refused "
        "one, because the retry budget of {{ $labels.instance }} was used up.",
    ),
    Alert(
        "RetryNotHelping",
        'sum(increase(specwatch_retries_total{outcome=~"anomaly_again|marked"}[30m])) '
        "/ sum(increase(specwatch_retries_total[30m])) > 0.5 "
        "and on () sum(increase(specwatch_retries_total[30m])) > 20",
        "5m",
        Severity.PAGE,
        Board.PROXY,
        "Another replica gives bad answers as well",
        "{{ $value | humanizePercentage }} of the retries met an anomaly again in the last half "
        "hour: the cause is the model or what all replicas share.",
    ),
    Alert(
        "QuarantineAtLimit",
        "max by (instance) (specwatch_ejected_replicas) > 0 "
        "and max by (instance) (specwatch_ejected_replicas) "
        ">= on (instance) max by (instance) (specwatch_ejectable_replicas)",
        "5m",
        Severity.PAGE,
        Board.REPLICA,
        "No further replica can be taken out",
        "{{ $value | humanize }} replicas are left alone at {{ $labels.instance }}, as many as "
        "may be: the next sick one keeps its traffic.",
    ),
    Alert(
        "ReplicaFlapping",
        "max by (replica) (increase(specwatch_replica_changes_total[1h])) > 6",
        "5m",
        Severity.TICKET,
        Board.REPLICA,
        "{{ $labels.replica }} comes and goes",
        "{{ $labels.replica }} changed its state {{ $value | humanize }} times in an hour.",
    ),
    Alert(
        "NoHealthyReplica",
        'max by (instance) (specwatch_replicas{kind="healthy"}) == 0',
        "30s",
        Severity.PAGE,
        Board.REPLICA,
        "{{ $labels.instance }} has no healthy replica",
        "{{ $value | humanize }} replicas are healthy at {{ $labels.instance }}: requests fail, or "
        "go to replicas that are left alone for a reason.",
    ),
    Alert(
        "EngineMetricsAbsent",
        "(max by (replica) (specwatch_engine_scrape_success) == 0 "
        "and on (replica) max by (replica) (specwatch_replica_state) == 0) "
        "or (max by (engine) (specwatch_engine_missing_metrics) > 0)",
        "15m",
        Severity.TICKET,
        Board.REPLICA,
        "{{ with $labels.replica }}{{ . }} tells{{ else }}{{ $labels.engine }} engines tell"
        "{{ end }} too little of its own load",
        "{{ with $labels.replica }}The /metrics of {{ . }} cannot be read or has none of the known "
        "names although the replica is healthy{{ else }}Load metrics that {{ $labels.engine }} "
        "should have are missing{{ end }} (value {{ $value | humanize }}).",
    ),
    Alert(
        "RedisDown",
        'max by (instance) (specwatch_store_up{kind="redis"}) == 0',
        "2m",
        Severity.TICKET,
        Board.PROXY,
        "{{ $labels.instance }} does not reach Redis",
        "specwatch_store_up is {{ $value }} at {{ $labels.instance }}: it goes on alone, and "
        "quarantines and incidents are not shared.",
    ),
    Alert(
        "RedisSlow",
        f"{_SLOW_SHARE} > 0.01 and on (instance) sum by (instance) "
        '(increase(specwatch_store_calls_total{kind="redis"}[10m])) > 100',
        "5m",
        Severity.TICKET,
        Board.PROXY,
        "Redis answers {{ $labels.instance }} slowly",
        "{{ $value | humanizePercentage }} of the calls took more than 50 ms in ten minutes.",
    ),
    Alert(
        "ProxyOverhead",
        f"({_p99('specwatch_event_loop_lag_seconds')} > 0.02 "
        f"or {_p99('specwatch_proxy_overhead_seconds')} > 0.02) and on (instance) "
        "sum by (instance) (increase(specwatch_requests_total[5m])) > 100",
        "10m",
        Severity.TICKET,
        Board.PROXY,
        "{{ $labels.instance }} does not keep up",
        "One in a hundred events at {{ $labels.instance }} waits {{ $value | humanizeDuration }} "
        "for the proxy itself.",
    ),
    Alert(
        "StreamBufferHigh",
        f"{_NEAR_BOUND} > 5",
        "5m",
        Severity.PAGE,
        Board.PROXY,
        "Streams fill the hold-back of {{ $labels.instance }}",
        "{{ $value | humanize }} attempts held more than 80 % of --max-held-bytes in ten minutes.",
    ),
    Alert(
        "MemoryHigh",
        "max by (instance) (specwatch_memory_bytes) "
        "/ max by (instance) (specwatch_memory_limit_bytes) > 0.8",
        "5m",
        Severity.PAGE,
        Board.PROXY,
        "{{ $labels.instance }} is short of memory",
        "{{ $labels.instance }} uses {{ $value | humanizePercentage }} of the memory that it may.",
    ),
    Alert(
        "InstanceDown",
        'up{job="specwatch"} == 0',
        "2m",
        Severity.PAGE,
        Board.PROXY,
        "{{ $labels.instance }} does not answer",
        "Prometheus gets no metrics of {{ $labels.instance }} (up is {{ $value }}).",
    ),
    Alert(
        "ConfigReloadFailed",
        "sum by (instance, kind) (increase("
        'specwatch_fleet_troubles_total{kind=~"source_unavailable|address_refused"}[15m])) > 0',
        "1m",
        Severity.TICKET,
        Board.PROXY,
        "{{ $labels.instance }} cannot use its list of replicas",
        "{{ $value | humanize }} times in 15 minutes: {{ $labels.kind }}. The last good list stays "
        "in force.",
    ),
    Alert(
        "Watchdog",
        "vector(1)",
        "0m",
        Severity.NONE,
        Board.PROXY,
        "The alert chain works",
        "Always firing with value {{ $value }}; whoever stops hearing it knows that Prometheus or "
        "Alertmanager does not work.",
    ),
)
