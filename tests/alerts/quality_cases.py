"""Cases of the alerts on what clients get."""

from tests.alerts.case import Case, Series, grows, requests, stays


def bad(per_minute: float) -> Series:
    return {
        'specwatch_bad_output_total{model="m",outcome="leaked",instance="i"}': grows(per_minute)
    }


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
        {**requests(10), 'specwatch_unwatched_requests_total{outcome="batch"}': grows(1)},
        1,
        "one in eleven",
    ),
    Case(
        "CoverageLow",
        "65m",
        {**requests(10), 'specwatch_unwatched_requests_total{outcome="batch"}': grows(0.05)},
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
                'specwatch_judge_false_alarm_share{kind="high"}': stays(share),
                'specwatch_judge_texts_total{kind="incident",outcome="fine"}': stays(texts),
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
