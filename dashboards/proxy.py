"""Proxy and retries: what protection costs, and how the proxies themselves are doing."""

from dashboards.panel import MODEL, RANGE, Board, Look, Panel, Query, Row, by_instance, quantile
from dashboards.process import PROCESS, RECORDING

_RETRIES = Row(
    "Retries",
    (
        Panel(
            7,
            "Outcome of retries",
            "Second and later attempts a second, by what they came to.",
            Look.STACKED,
            "cps",
            (
                Query(f"sum by (outcome) (rate(specwatch_retries_total{RANGE}))", "{{outcome}}"),
                Query(
                    f"sum by (outcome) (rate(specwatch_hedges_total{RANGE})) or on () vector(0)",
                    "hedged: {{outcome}}",
                ),
                Query(
                    f"sum by (outcome) (rate(specwatch_retries_refused_total{RANGE}))",
                    "refused: {{outcome}}",
                ),
                Query("specwatch_retries:ratio_rate5m", "retries per request"),
            ),
        ),
        Panel(
            17,
            "Retry budget and circuits",
            "Retries that the budget would allow now, and replicas left alone after failures.",
            Look.SERIES,
            "short",
            (
                Query("min by (instance) (specwatch_retry_budget_left)", "{{instance}} left"),
                Query(
                    'max by (kind) (specwatch_replicas{kind=~"tripped|unreachable"})', "{{kind}}"
                ),
            ),
        ),
        Panel(
            7,
            "Outcome of attempts and requests",
            "A second. Attempts by how they ended; requests by what the client got.",
            Look.SERIES,
            "cps",
            (
                Query(
                    f"sum by (outcome) (rate(specwatch_attempts_total{RANGE}))",
                    "attempt {{outcome}}",
                ),
                Query(
                    f"sum by (outcome) (rate(specwatch_requests_total{{{MODEL}}}{RANGE}))",
                    "request {{outcome}}",
                ),
            ),
        ),
        Panel(
            10,
            "Wasted tokens",
            "Generated and thrown away, a second, by how their attempt ended; and as a share of "
            "all tokens.",
            Look.SERIES,
            "short",
            (
                Query(
                    f"sum by (outcome) (rate(specwatch_wasted_tokens_total{RANGE}))",
                    "{{outcome}}/s",
                ),
                Query(
                    f"sum(rate(specwatch_wasted_tokens_total{RANGE})) "
                    f"/ sum(rate(specwatch_inspected_tokens_total{RANGE}))",
                    "share of all",
                ),
                Query(
                    f"sum(rate(specwatch_completion_tokens_total{{{MODEL}}}{RANGE}))",
                    "delivered/s",
                ),
            ),
        ),
        Panel(
            10,
            "Replica time wasted",
            "Seconds of replicas in the time shown that went into tokens thrown away; requests of "
            "one batch share a GPU, so it is an upper estimate of GPU seconds.",
            Look.STAT,
            "s",
            (Query("sum(increase(specwatch_wasted_seconds_total[$__range]))"),),
            width=6,
        ),
    ),
)

_COST = Row(
    "What it costs the client",
    (
        Panel(
            9,
            "Time added",
            "By the hold-back, and by watching and retrying together.",
            Look.SERIES,
            "s",
            tuple(
                Query(quantile(share, metric, ""), f"{what} p{share * 100:g}")
                for metric, what in (
                    ("specwatch_held_seconds", "held"),
                    ("specwatch_added_delay_seconds", "added in all"),
                )
                for share in (0.5, 0.95, 0.99)
            ),
        ),
        Panel(
            9,
            "Tokens held back",
            "The most that were held of one attempt.",
            Look.SERIES,
            "short",
            tuple(
                Query(quantile(share, "specwatch_held_tokens", ""), f"p{share * 100:g}")
                for share in (0.5, 0.95, 0.99)
            ),
        ),
        Panel(
            18,
            "Proxy overhead",
            "Time from a request to its first dispatch, and how late the event loop is.",
            Look.SERIES,
            "s",
            tuple(
                Query(quantile(share, metric, ""), f"{what} p{share * 100:g}")
                for metric, what in (
                    ("specwatch_proxy_overhead_seconds", "dispatch"),
                    ("specwatch_event_loop_lag_seconds", "loop"),
                )
                for share in (0.5, 0.99)
            ),
            limits=(0.01, 0.02),
        ),
        Panel(
            18,
            "Detector time for each token",
            "Of one core.",
            Look.SERIES,
            "s",
            (
                Query(
                    f"{by_instance('specwatch_detector_seconds_total')} "
                    f"/ ({by_instance('specwatch_inspected_tokens_total')} > 0)",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            22,
            "First token and whole answer: clients and engines",
            "Means. Clients' times are through the proxy; the engines' are their own.",
            Look.SERIES,
            "s",
            (
                *(
                    Query(
                        f"sum(rate({metric}_sum{RANGE})) / sum(rate({metric}_count{RANGE}))", what
                    )
                    for metric, what in (
                        ("specwatch_time_to_first_byte_seconds", "client first byte"),
                        ("specwatch_request_duration_seconds", "client whole"),
                    )
                ),
                *(
                    Query(
                        f"sum by (engine) (rate(specwatch_engine_{seconds}_total{RANGE})) "
                        f"/ sum by (engine) (rate(specwatch_engine_{count}_total{RANGE}))",
                        f"{{{{engine}}}} {what}",
                    )
                    for seconds, count, what in (
                        ("first_token_seconds", "first_tokens", "first token"),
                        ("finished_seconds", "finished_requests", "whole"),
                    )
                ),
            ),
        ),
    ),
)


BOARD = Board(
    "specwatch-proxy",
    "specwatch: Proxy and retries",
    "What protection costs, and how the proxies themselves are doing.",
    (_RETRIES, _COST, PROCESS, RECORDING),
)
