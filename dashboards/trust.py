"""Part of the fleet's board: whether the findings can be trusted, and what is not looked at."""

from alerts.rule import FALSE_ALARM_OBJECTIVE
from dashboards.panel import KIND, RANGE, Look, Panel, Query, Row, quantile

ROW = Row(
    "Can the detectors be trusted?",
    (
        Panel(
            8,
            "Detection latency",
            "Tokens from the estimated onset to the alarm, and what leaked of them a second.",
            Look.SERIES,
            "short",
            (
                *(
                    Query(
                        quantile(share, "specwatch_detection_tokens", "kind", KIND),
                        f"{{{{kind}}}} p{share * 100:g}",
                        share == 0.5,
                    )
                    for share in (0.5, 0.95, 0.99)
                ),
                Query(
                    f"sum by (kind) (rate(specwatch_leaked_tokens_total{{{KIND}}}{RANGE}))",
                    "{{kind}} leaked/s",
                ),
            ),
        ),
        Panel(
            12,
            "Scores at alarms",
            "Median of each detector's own statistic at its verdicts. One that drifts towards its "
            "threshold (fusion and text: log-odds; acceptance: bits, 13.3 at the default bound) "
            "finds weaker and weaker signs.",
            Look.SERIES,
            "short",
            (
                Query(
                    quantile(0.5, "specwatch_detector_score", "detector"),
                    "{{detector}}",
                    has_exemplars=True,
                ),
                Query("-log2(max(specwatch_false_alarm_bound))", "bits of --false-alarm-bound"),
            ),
        ),
        Panel(
            12,
            "Distribution of scores",
            "The same scores as counts.",
            Look.HEATMAP,
            "short",
            (
                Query(
                    f"sum by (le) (increase(specwatch_detector_score_bucket{RANGE}))",
                    "{{le}}",
                ),
            ),
        ),
        Panel(
            11,
            "False alarms and misses",
            "With --judge: incidents that it held for fine, and unflagged answers that it held for "
            "sick, with their 95 % intervals. Upper bound of false alarms over all requests "
            "against its budget of 0.1 %.",
            Look.SERIES,
            "percentunit",
            (
                Query("max by (kind) (specwatch_judge_false_alarm_share)", "false {{kind}}"),
                Query("max by (kind) (specwatch_judge_miss_share)", "missed {{kind}}"),
                Query(f"vector({FALSE_ALARM_OBJECTIVE:g})", "budget over all requests"),
                Query(
                    'max(specwatch_judge_false_alarm_share{kind="high"}) '
                    "* (sum(increase(specwatch_detections_total[1d])) "
                    "/ sum(increase(specwatch_requests_total[1d])))",
                    "upper bound over all requests",
                ),
            ),
        ),
        Panel(
            11,
            "What the judge read",
            "Second opinions by why a text was chosen, and texts that it did not get to.",
            Look.STACKED,
            "short",
            (
                Query(
                    f"sum by (kind, outcome) (increase(specwatch_judge_texts_total{RANGE}))",
                    "{{kind}}: {{outcome}}",
                ),
                Query(
                    f"sum by (outcome) (increase(specwatch_judge_dropped_total{RANGE}))",
                    "dropped: {{outcome}}",
                ),
                Query("max(specwatch_judge_up)", "judge is up"),
            ),
        ),
        Panel(
            21,
            "Detector coverage",
            "Generation requests a second that were watched, by acceptance and text or by the text "
            "alone, and those that were not, by why.",
            Look.STACKED,
            "reqps",
            (
                Query(
                    f"sum by (kind) (rate(specwatch_inspected_attempts_total{RANGE}))",
                    "watched by {{kind}}",
                ),
                Query(
                    f"sum by (outcome) (rate(specwatch_unwatched_requests_total{RANGE}))",
                    "not watched: {{outcome}}",
                ),
            ),
        ),
        Panel(
            21,
            "Share of the requests that is watched",
            "Under 99 % a ticket is made.",
            Look.STAT,
            "percentunit",
            (
                Query(
                    f"sum(rate(specwatch_requests_total{RANGE})) "
                    f"/ (sum(rate(specwatch_requests_total{RANGE})) "
                    f"+ (sum(rate(specwatch_unwatched_requests_total{RANGE})) or vector(0)))"
                ),
            ),
            width=6,
        ),
    ),
)
