"""For every alert: series in which it must fire, and series in which it must not.

Values are in promtool's notation, one a minute: ``0+5x60`` grows by 5 for an hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]


def grows(per_minute: float, minutes: int = 300) -> str:
    """A counter."""
    return f"0+{per_minute:g}x{minutes}"


def stays(value: float, minutes: int = 300) -> str:
    """A gauge, or a counter that stands."""
    return f"{value:g}x{minutes}"


@dataclass(frozen=True, slots=True)
class Case:
    """One alert and one look at it.

    Attributes:
        at: when it is looked at, e.g. ``70m``.
        fires: how many of it must fire then; labels tell them apart.
        why: the point of it.
        interval: between two samples.
    """

    alert: str
    at: str
    series: Series
    fires: int
    why: str
    interval: str = "1m"


def requests(per_minute: float, **labels: str) -> Series:
    """Clean requests to one model through one instance."""
    told = {"model": "m", "outcome": "clean", "instance": "i"} | labels
    return {_name("specwatch_requests_total", told): grows(per_minute)}


def _name(metric: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{inside}}}"


def bad(per_minute: float) -> Series:
    return {'specwatch_bad_output_total{model="m",reason="leaked",instance="i"}': grows(per_minute)}


def replica(name: str, anomalies: float, attempts: float = 10) -> Series:
    """Per minute."""
    return {
        f'specwatch_anomalies_total{{replica="{name}",kind="garbled"}}': grows(anomalies),
        f'specwatch_replica_attempts_total{{replica="{name}"}}': grows(attempts),
    }


def detections(per_minute: float) -> Series:
    return {'specwatch_detections_total{model="m",kind="garbled",detector="a"}': grows(per_minute)}


def steps(accepted: str, drafted: float = 300) -> Series:
    """100 steps a minute on one replica, with a stream running."""
    return {
        'specwatch_accepted_tokens_total{replica="r"}': accepted,
        'specwatch_steps_total{replica="r"}': grows(100),
        'specwatch_drafted_tokens_total{replica="r"}': grows(drafted),
        'specwatch_in_flight{replica="r"}': stays(1),
    }


# An accept length of 2.5 for four hours; then 1.1, or 1.8.
COLLAPSED = "0+150x240 36010+10x60"
LOWER = "0+150x240 36080+80x60"

QUALITY = (
    Case("BadOutputBudgetBurn", "70m", {**requests(100), **bad(2)}, 1, "2 % bad"),
    Case("BadOutputBudgetBurn", "70m", {**requests(100), **bad(0.5)}, 0, "half a percent"),
    Case("BadOutputBudgetBurn", "70m", {**requests(10), **bad(0.2)}, 0, "too few requests"),
    Case("BadOutputBudgetBurnSlow", "3h", {**requests(100), **bad(0.4)}, 1, "0.4 % bad"),
    Case("BadOutputBudgetBurnSlow", "3h", {**requests(100), **bad(0.05)}, 0, "within budget"),
    Case(
        "ReplicaAnomalyOutlier", "20m", {**replica("a", 1), **replica("b", 0.1)}, 1, "10 % to 1 %"
    ),
    Case("ReplicaAnomalyOutlier", "20m", {**replica("a", 1), **replica("b", 1)}, 0, "both alike"),
    Case("ReplicaAnomalyOutlier", "20m", {**replica("a", 0.3), **replica("b", 0)}, 0, "too few"),
    Case("ReplicaAnomalyOutlier", "20m", {**replica("a", 1)}, 0, "the only replica"),
    Case(
        "FleetAnomalyShift",
        "70m",
        {**requests(100), **detections(2), **replica("a", 1), **replica("b", 1)},
        1,
        "on both replicas",
    ),
    Case(
        "FleetAnomalyShift",
        "70m",
        {
            **requests(100),
            **detections(2),
            **replica("a", 2),
            **replica("b", 0),
            **replica("c", 0),
        },
        0,
        "on one of three",
    ),
    Case(
        "FleetAnomalyShift",
        "170h",
        {
            'specwatch_requests_total{model="m",outcome="clean"}': grows(1000, 1100),
            'specwatch_detections_total{model="m",kind="garbled",detector="a"}': grows(20, 1100),
            'specwatch_anomalies_total{replica="a",kind="garbled"}': grows(20, 1100),
            'specwatch_replica_attempts_total{replica="a"}': grows(1000, 1100),
        },
        0,
        "as a week ago",
        interval="10m",
    ),
    Case("AcceptLengthCollapse", "260m", steps(COLLAPSED), 1, "1.1 after 2.5"),
    Case("AcceptLengthCollapse", "260m", steps(LOWER), 0, "1.8 after 2.5"),
    Case(
        "AcceptLengthCollapseWithAnomalies",
        "256m",
        {**steps(COLLAPSED), **replica("r", 1)},
        1,
        "and one anomaly a minute",
    ),
    Case("AcceptLengthCollapseWithAnomalies", "260m", steps(COLLAPSED), 0, "no anomalies"),
    Case("AcceptLengthPinnedAtOne", "30m", steps(grows(2)), 1, "1.02"),
    Case("AcceptLengthPinnedAtOne", "30m", steps(grows(0), drafted=0), 0, "no speculation"),
    Case("AcceptLengthPinnedAtOne", "30m", steps(grows(60)), 0, "1.6"),
    Case(
        "DetectorBlind",
        "30m",
        {**requests(5), 'specwatch_inspected_tokens_total{instance="i"}': stays(100)},
        1,
        "no tokens",
    ),
    Case(
        "DetectorBlind",
        "30m",
        {**requests(5), 'specwatch_inspected_tokens_total{instance="i"}': grows(50)},
        0,
        "tokens",
    ),
    Case(
        "CoverageLow",
        "65m",
        {**requests(10), 'specwatch_unwatched_requests_total{reason="batch"}': grows(1)},
        1,
        "one in eleven",
    ),
    Case(
        "CoverageLow",
        "65m",
        {**requests(10), 'specwatch_unwatched_requests_total{reason="batch"}': grows(0.05)},
        0,
        "one in two hundred",
    ),
    *(
        Case(
            "FalsePositiveBudget",
            "3h",
            {
                **requests(100),
                **detections(1),
                'specwatch_judge_false_alarm_share{bound="high"}': stays(share),
                'specwatch_judge_texts_total{source="incident",opinion="fine"}': stays(texts),
            },
            fires,
            why,
        )
        for share, texts, fires, why in (
            (0.3, 40, 1, "0.3 % of all"),
            (0.05, 40, 0, "0.05 % of all"),
            (0.3, 10, 0, "the judge saw too few"),
        )
    ),
)


def retries(**per_minute: float) -> Series:
    """By outcome."""
    return {
        f'specwatch_retries_total{{outcome="{outcome}"}}': grows(count)
        for outcome, count in per_minute.items()
    }


def refused(reason: str) -> Series:
    return {f'specwatch_retries_refused_total{{reason="{reason}",instance="i"}}': grows(1)}


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
        'specwatch_store_calls_total{store="redis",instance="i"}': grows(100),
        'specwatch_store_slow_calls_total{store="redis",instance="i"}': grows(slow),
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
        {'specwatch_replicas{instance="i",state="healthy"}': stays(0)},
        1,
        "none",
    ),
    Case(
        "NoHealthyReplica",
        "5m",
        {
            'specwatch_replicas{instance="i",state="healthy"}': stays(1),
            'specwatch_replicas{instance="i",state="tripped"}': stays(0),
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
    Case(
        "RedisDown", "5m", {'specwatch_store_up{store="redis",instance="i"}': stays(0)}, 1, "down"
    ),
    Case("RedisDown", "5m", {'specwatch_store_up{store="redis",instance="i"}': stays(1)}, 0, "up"),
    Case(
        "RedisDown",
        "5m",
        {'specwatch_store_up{store="memory",instance="i"}': stays(0)},
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

CASES: tuple[Case, ...] = (*QUALITY, *SERVING)
