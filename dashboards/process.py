"""Part of the proxy's board: the processes themselves, their store, and what they record."""

from dashboards.panel import RANGE, Look, Panel, Query, Row, by_instance, quantile

PROCESS = Row(
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
                Query(by_instance("specwatch_client_stall_seconds_total"), "{{instance}} stalled"),
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
                    f"{by_instance('specwatch_store_seconds_total')} "
                    f"/ {by_instance('specwatch_store_calls_total')}",
                    "{{instance}} s/call",
                ),
                Query(
                    f"{by_instance('specwatch_store_slow_calls_total')} "
                    f"/ {by_instance('specwatch_store_calls_total')}",
                    "{{instance}} slow",
                ),
                Query(by_instance("specwatch_store_away_seconds_total"), "{{instance}} on its own"),
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
                Query(by_instance("specwatch_store_errors_total"), "{{instance}} store errors"),
                Query(by_instance("specwatch_store_dropped_total"), "{{instance}} records"),
                Query(
                    f"{by_instance('specwatch_store_unreadable_total')} or on () vector(0)",
                    "{{instance}} unreadable",
                ),
                Query(
                    f"{by_instance('specwatch_baselines_refused_total')} or on () vector(0)",
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


RECORDING = Row(
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
                    f"{by_instance('specwatch_recorded_total')} or on () vector(0)",
                    "{{instance}} a second",
                ),
                Query(
                    "max by (instance) (specwatch_record_up) or on () vector(0)", "{{instance}} up"
                ),
            ),
        ),
    ),
)
