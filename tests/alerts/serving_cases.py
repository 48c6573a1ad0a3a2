"""Cases of the alerts on retries, replicas and proxies."""

from tests.alerts.case import Case, Series, grows, requests, stays


def retries(**per_minute: float) -> Series:
    """By outcome."""
    return {
        f'specwatch_retries_total{{outcome="{outcome}"}}': grows(count)
        for outcome, count in per_minute.items()
    }


def refused(reason: str) -> Series:
    return {f'specwatch_retries_refused_total{{outcome="{reason}",instance="i"}}': grows(1)}


def ejected(count: int, allowed: int) -> Series:
    return {
        'specwatch_ejected_replicas{instance="i"}': stays(count),
        'specwatch_ejectable_replicas{instance="i"}': stays(allowed),
    }


def scraped(success: int, state: int) -> Series:
    return {
        'specwatch_engine_scrape_success{replica="r"}': stays(success),
        'specwatch_replica_state{replica="r"}': stays(state),
    }


def redis(slow: float) -> Series:
    return {
        'specwatch_store_calls_total{kind="redis",instance="i"}': grows(100),
        'specwatch_store_slow_calls_total{kind="redis",instance="i"}': grows(slow),
    }


def lag(under_20_ms: float) -> Series:
    """Of 120 looks a minute."""
    name = "specwatch_event_loop_lag_seconds_bucket"
    return {
        **requests(100),
        f'{name}{{instance="i",le="0.02"}}': grows(under_20_ms),
        f'{name}{{instance="i",le="0.05"}}': grows(120),
        f'{name}{{instance="i",le="+Inf"}}': grows(120),
    }


def held(within: float) -> Series:
    """Ten attempts a minute, so many of them within 80 % of the bound."""
    name = "specwatch_held_bytes_ratio"
    return {
        f'{name}_count{{instance="i"}}': grows(10),
        f'{name}_bucket{{instance="i",le="0.8"}}': grows(within),
    }


def memory(used: float) -> Series:
    return {
        'specwatch_memory_bytes{instance="i"}': stays(used),
        'specwatch_memory_limit_bytes{instance="i"}': stays(1000),
    }


def trouble(kind: str) -> Series:
    return {f'specwatch_fleet_troubles_total{{kind="{kind}",instance="i"}}': grows(1)}


SERVING = (
    Case("RetryStorm", "10m", {**requests(100), **retries(clean=20)}, 1, "one in five"),
    Case("RetryStorm", "10m", {**requests(100), **retries(clean=5)}, 0, "one in twenty"),
    Case("RetryStorm", "10m", {**requests(10), **retries(clean=2)}, 0, "too few requests"),
    Case("RetryBudgetExhausted", "10m", refused("budget"), 1, "refused for the budget"),
    Case("RetryBudgetExhausted", "10m", refused("deadline"), 0, "refused for the deadline"),
    Case("RetryNotHelping", "40m", retries(anomaly_again=2, clean=1), 1, "two of three again"),
    Case("RetryNotHelping", "40m", retries(anomaly_again=1, clean=2), 0, "one of three"),
    Case("RetryNotHelping", "40m", retries(marked=0.3), 0, "too few retries"),
    Case("QuarantineAtLimit", "10m", ejected(2, 2), 1, "two of two"),
    Case("QuarantineAtLimit", "10m", ejected(1, 2), 0, "one of two"),
    Case("QuarantineAtLimit", "10m", ejected(0, 0), 0, "switched off"),
    Case(
        "ReplicaFlapping",
        "70m",
        {'specwatch_replica_changes_total{replica="r"}': grows(1)},
        1,
        "every minute",
    ),
    Case(
        "ReplicaFlapping",
        "70m",
        {'specwatch_replica_changes_total{replica="r"}': grows(0.05)},
        0,
        "three times an hour",
    ),
    Case(
        "NoHealthyReplica",
        "5m",
        {'specwatch_replicas{instance="i",kind="healthy"}': stays(0)},
        1,
        "none",
    ),
    Case(
        "NoHealthyReplica",
        "5m",
        {
            'specwatch_replicas{instance="i",kind="healthy"}': stays(1),
            'specwatch_replicas{instance="i",kind="tripped"}': stays(0),
        },
        0,
        "one",
    ),
    Case("EngineMetricsAbsent", "20m", scraped(0, 0), 1, "healthy and silent"),
    Case("EngineMetricsAbsent", "20m", scraped(0, 3), 0, "unreachable: another alert's"),
    Case(
        "EngineMetricsAbsent",
        "20m",
        {'specwatch_engine_missing_metrics{engine="vllm"}': stays(1)},
        1,
        "renamed",
    ),
    Case("EngineMetricsAbsent", "20m", scraped(1, 0), 0, "all there"),
    Case("RedisDown", "5m", {'specwatch_store_up{kind="redis",instance="i"}': stays(0)}, 1, "down"),
    Case("RedisDown", "5m", {'specwatch_store_up{kind="redis",instance="i"}': stays(1)}, 0, "up"),
    Case(
        "RedisDown",
        "5m",
        {'specwatch_store_up{kind="memory",instance="i"}': stays(0)},
        0,
        "no Redis",
    ),
    Case("RedisSlow", "20m", redis(5), 1, "one in twenty"),
    Case("RedisSlow", "20m", redis(0.5), 0, "one in two hundred"),
    Case("ProxyOverhead", "20m", lag(110), 1, "8 % late"),
    Case("ProxyOverhead", "20m", lag(119.9), 0, "one in a thousand late"),
    Case("StreamBufferHigh", "20m", held(8), 1, "two a minute"),
    Case("StreamBufferHigh", "20m", held(10), 0, "none"),
    Case("MemoryHigh", "10m", memory(900), 1, "90 %"),
    Case("MemoryHigh", "10m", memory(700), 0, "70 %"),
    Case("InstanceDown", "5m", {'up{job="specwatch",instance="i"}': stays(0)}, 1, "down"),
    Case("InstanceDown", "5m", {'up{job="specwatch",instance="i"}': stays(1)}, 0, "up"),
    Case("InstanceDown", "5m", {'up{job="node",instance="i"}': stays(0)}, 0, "another job"),
    Case("ConfigReloadFailed", "20m", trouble("source_unavailable"), 1, "no list"),
    Case("ConfigReloadFailed", "20m", trouble("all_sick"), 0, "another trouble"),
    Case("Watchdog", "1m", {}, 1, "always"),
)
