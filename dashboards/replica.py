"""Replica: state, acceptance and load of single replicas, beside their anomalies."""

from dashboards.panel import (
    KIND,
    MODEL,
    RANGE,
    REPLICA,
    TO_INCIDENTS,
    Board,
    Look,
    Panel,
    Query,
    Row,
)

_LENGTH = "replica:specwatch_accept_length:5m"
_MEDIAN = f"scalar(quantile(0.5, {_LENGTH}))"
_SPREAD = f"scalar(quantile(0.5, abs({_LENGTH} - {_MEDIAN})))"


def _gauge(name: str) -> str:
    return f"max by (replica) ({name}{{{REPLICA}}})"


def _rate(name: str) -> str:
    return f"sum by (replica) (rate({name}{{{REPLICA}}}{RANGE}))"


_STATE = Row(
    "State",
    (
        Panel(
            15,
            "State of each replica",
            "As the most careful of the proxies sees it.",
            Look.STATES,
            "short",
            (Query(_gauge("specwatch_replica_state"), "{{replica}}"),),
            links=(TO_INCIDENTS,),
            width=24,
        ),
        Panel(
            15,
            "Changes of state",
            "In the last hour; more than six is flapping.",
            Look.SERIES,
            "short",
            (
                Query(
                    "max by (replica) "
                    f"(increase(specwatch_replica_changes_total{{{REPLICA}}}[1h]))",
                    "{{replica}}",
                ),
            ),
            limits=(3, 6),
        ),
        Panel(
            16,
            "Replicas left alone",
            "Tripped, quarantined or on trial, as a share of what --max-ejected-share allows. At "
            "100 % the next sick one keeps its traffic.",
            Look.GAUGE,
            "percentunit",
            (
                Query(
                    "max(specwatch_ejected_replicas) / (max(specwatch_ejectable_replicas) > 0)",
                ),
            ),
            limits=(0.5, 1.0),
            width=6,
        ),
        Panel(
            16,
            "Replicas by state",
            "Of all replicas of an instance; how many are left alone, and how many may be.",
            Look.SERIES,
            "short",
            (
                Query("max by (kind) (specwatch_replicas)", "{{kind}}"),
                Query("max(specwatch_ejected_replicas)", "left alone"),
                Query("max(specwatch_ejectable_replicas)", "may be left alone"),
            ),
            width=6,
        ),
        Panel(
            15,
            "Troubles that taking out does not cure",
            "Most replicas sick alike, one that must stay in, lists that cannot be read or name "
            "what may not be a replica.",
            Look.SERIES,
            "short",
            (
                Query(
                    f"sum by (kind) (increase(specwatch_fleet_troubles_total{RANGE})) "
                    "or on () vector(0)",
                    "{{kind}}",
                ),
            ),
        ),
    ),
)

_ACCEPTANCE = Row(
    "Acceptance",
    (
        Panel(
            5,
            "Accept length by replica, with the fleet's median and spread",
            "From the answers that went through the proxies, and from the engines' own metrics. "
            "The band is the median of all replicas, three median deviations to both sides.",
            Look.SERIES,
            "short",
            (
                Query(f"{_LENGTH}{{{REPLICA}}}", "{{replica}}"),
                Query(_gauge("specwatch_engine_accept_length"), "{{replica}} by its engine"),
                Query(f"vector({_MEDIAN})", "median"),
                Query(f"vector({_MEDIAN} - 3 * {_SPREAD})", "median - 3 MAD"),
                Query(f"vector({_MEDIAN} + 3 * {_SPREAD})", "median + 3 MAD"),
            ),
        ),
        Panel(
            5,
            "Accept rate by replica",
            "Accepted drafts as a share of those proposed, by the proxies and by the engines.",
            Look.SERIES,
            "percentunit",
            (
                Query(
                    f"{_rate('specwatch_accepted_tokens_total')} "
                    f"/ ({_rate('specwatch_drafted_tokens_total')} > 0)",
                    "{{replica}}",
                ),
                Query(_gauge("specwatch_engine_accept_rate"), "{{replica}} by its engine"),
                Query(_gauge("specwatch_replica_draft_health"), "{{replica}} drafter works"),
            ),
        ),
        Panel(
            6,
            "Acceptance by draft position",
            "Share of the steps in which the draft at a position was accepted: exact steps seen by "
            "the proxies, and the engines' own counters (vLLM, llama.cpp). Falling at position 1 "
            "is the drafter; falling later only is the text.",
            Look.SERIES,
            "percentunit",
            (
                Query(
                    "sum by (kind) "
                    f"(rate(specwatch_position_accepted_total{{{MODEL}}}{RANGE})) "
                    "/ on () group_left () "
                    f"sum(rate(specwatch_position_steps_total{{{MODEL}}}{RANGE}))",
                    "position {{kind}}",
                ),
                Query(
                    "sum by (engine, kind) "
                    f"(rate(specwatch_engine_position_accepted_total{RANGE})) "
                    "/ on (engine) group_left () "
                    f"sum by (engine) (rate(specwatch_engine_verify_steps_total{RANGE}))",
                    "{{engine}} position {{kind}}",
                ),
            ),
        ),
        Panel(
            3,
            "Anomalies and failures by replica",
            "A second; attempts that had a verdict, and that failed otherwise.",
            Look.SERIES,
            "cps",
            (
                Query(
                    "sum by (replica, kind) "
                    f"(rate(specwatch_anomalies_total{{{REPLICA},{KIND}}}{RANGE}))",
                    "{{replica}} {{kind}}",
                    has_exemplars=True,
                ),
                Query(_rate("specwatch_replica_failures_total"), "{{replica}} failed"),
            ),
            links=(TO_INCIDENTS,),
        ),
    ),
)

_LOAD = Row(
    "Load, by the engines' own metrics",
    (
        Panel(
            13,
            "Cache pressure and anomalies",
            "Use of the KV cache, and the share of anomalous attempts: a race shows as both rising "
            "together.",
            Look.SERIES,
            "percentunit",
            (
                Query(_gauge("specwatch_engine_cache_usage_ratio"), "{{replica}} cache"),
                Query(
                    f"replica:specwatch_anomalies:ratio_rate15m{{{REPLICA}}}",
                    "{{replica}} anomalous",
                ),
            ),
        ),
        Panel(
            13,
            "Preemptions and aborts",
            "A second; requests preempted or retracted for lack of cache, and ended early.",
            Look.SERIES,
            "cps",
            (
                Query(_rate("specwatch_engine_preemptions_total"), "{{replica}} preempted"),
                Query(
                    f"sum by (engine) (rate(specwatch_engine_aborted_requests_total{RANGE}))",
                    "{{engine}} ended early",
                ),
            ),
        ),
        Panel(
            19,
            "Running and waiting",
            "By the engines; and the streams that this proxy runs on each.",
            Look.SERIES,
            "short",
            (
                Query(_gauge("specwatch_engine_running_requests"), "{{replica}} runs"),
                Query(_gauge("specwatch_engine_waiting_requests"), "{{replica}} waits"),
                Query(
                    f"sum by (replica) (specwatch_in_flight{{{REPLICA}}})", "{{replica}} from here"
                ),
            ),
        ),
        Panel(
            19,
            "Outstanding and generated tokens",
            "Estimated tokens of the attempts that run, prompts included; tokens a second that the "
            "engines generated.",
            Look.SERIES,
            "short",
            (
                Query(
                    f"sum by (replica) (specwatch_outstanding_tokens{{{REPLICA}}})",
                    "{{replica}} outstanding",
                ),
                Query(
                    f"sum by (engine) (rate(specwatch_engine_generated_tokens_total{RANGE}))",
                    "{{engine}} generated/s",
                ),
            ),
        ),
        Panel(
            13,
            "Engines' metrics",
            "1 where a replica's /metrics could be read; load metrics that an engine should tell "
            "and did not. /api/engine-metrics names them.",
            Look.TABLE,
            "short",
            (
                Query(_gauge("specwatch_engine_scrape_success"), "read"),
                Query("max by (engine) (specwatch_engine_missing_metrics)", "missing"),
            ),
        ),
    ),
)

BOARD = Board(
    "specwatch-replica",
    "specwatch: Replica",
    "State, acceptance and load of the selected replicas, beside their anomalies.",
    (_STATE, _ACCEPTANCE, _LOAD),
)
