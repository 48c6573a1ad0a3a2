"""Proxy and retries: what protection costs, and how the proxies themselves are doing."""

from dashboards.panel import MODEL, RANGE, Board, Look, Panel, Query, Row, quantile


def _by_instance(name: str) -> str:
    return f"sum by (instance) (rate({name}{RANGE}))"


_RECORDING = Row(
    "Recording",
    (
        Panel(
            23,
            "Recording",
            "Requests written to the recording of --record a second; 1 while it goes on, 0 after "
            "the disk refused.",
            Look.SERIES,
            "short",
            (
                Query(
                    f"{_by_instance('specwatch_recorded_total')} or on () vector(0)",
                    "{{instance}} a second",
                ),
                Query(
                    "max by (instance) (specwatch_record_up) or on () vector(0)", "{{instance}} up"
                ),
            ),
        ),
    ),
)


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
                    f"{_by_instance('specwatch_detector_seconds_total')} "
                    f"/ ({_by_instance('specwatch_inspected_tokens_total')} > 0)",
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

_PROCESS = Row(
    "The proxies themselves",
    (
        Panel(
            19,
            "Streams, buffers and slow clients",
            "Running attempts; the 99th percentile of what a hold-back used of its bound; seconds "
            "a second for which streams waited for clients to read.",
            Look.SERIES,
            "short",
            (
                Query("sum by (instance) (specwatch_in_flight)", "{{instance}} streams"),
                Query(quantile(0.99, "specwatch_held_bytes_ratio", ""), "buffer use p99"),
                Query(_by_instance("specwatch_client_stall_seconds_total"), "{{instance}} stalled"),
            ),
        ),
        Panel(
            19,
            "Memory",
            "Resident, and what the instance may use.",
            Look.SERIES,
            "bytes",
            (
                Query("max by (instance) (specwatch_memory_bytes)", "{{instance}}"),
                Query("max by (instance) (specwatch_memory_limit_bytes)", "{{instance}} limit"),
            ),
        ),
        Panel(
            20,
            "Shared store",
            "Up; mean time of a call; share of calls over 50 ms; seconds a second on its own.",
            Look.SERIES,
            "short",
            (
                Query("max by (instance, kind) (specwatch_store_up)", "{{instance}} {{kind}} up"),
                Query(
                    f"{_by_instance('specwatch_store_seconds_total')} "
                    f"/ {_by_instance('specwatch_store_calls_total')}",
                    "{{instance}} s/call",
                ),
                Query(
                    f"{_by_instance('specwatch_store_slow_calls_total')} "
                    f"/ {_by_instance('specwatch_store_calls_total')}",
                    "{{instance}} slow",
                ),
                Query(
                    _by_instance("specwatch_store_away_seconds_total"), "{{instance}} on its own"
                ),
            ),
        ),
        Panel(
            20,
            "What was lost",
            "A second: failed calls to the store, records that never reached it or could not be "
            "read there, shared baselines that were refused, events that the monitor could not "
            "keep, crashed detectors, requests that the recording lacks.",
            Look.SERIES,
            "cps",
            (
                Query(_by_instance("specwatch_store_errors_total"), "{{instance}} store errors"),
                Query(_by_instance("specwatch_store_dropped_total"), "{{instance}} records"),
                Query(
                    f"{_by_instance('specwatch_store_unreadable_total')} or on () vector(0)",
                    "{{instance}} unreadable",
                ),
                Query(
                    f"{_by_instance('specwatch_baselines_refused_total')} or on () vector(0)",
                    "{{instance}} baselines",
                ),
                Query(
                    f"sum by (outcome) (rate(specwatch_record_dropped_total{RANGE})) "
                    "or on () vector(0)",
                    "recording {{outcome}}",
                ),
                Query(
                    f"sum by (outcome) (rate(specwatch_events_dropped_total{RANGE})) "
                    "or on () vector(0)",
                    "events {{outcome}}",
                ),
                Query(
                    f"sum by (detector) (rate(specwatch_detector_errors_total{RANGE})) "
                    "or on () vector(0)",
                    "detector {{detector}}",
                ),
            ),
        ),
        Panel(
            23,
            "What runs",
            "Version of each instance, its panel of detectors, and hashes of its options and of "
            "its baselines and weights: instances that should be alike show the same.",
            Look.TABLE,
            "short",
            (
                Query("max by (instance, version, python) (specwatch_build_info)", "build"),
                Query(
                    "max by (instance, config, panel, learned) (specwatch_config_info)", "config"
                ),
            ),
            width=24,
        ),
    ),
)

BOARD = Board(
    "specwatch-proxy",
    "specwatch: Proxy and retries",
    "What protection costs, and how the proxies themselves are doing.",
    (_RETRIES, _COST, _PROCESS, _RECORDING),
)
