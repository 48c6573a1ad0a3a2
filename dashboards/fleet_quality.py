"""Fleet quality: what clients got, what was found, and whether the findings can be trusted."""

from alerts.recording import burn
from alerts.rule import BAD_OUTPUT_OBJECTIVE
from dashboards.panel import (
    KIND,
    MODEL,
    RANGE,
    TO_INCIDENTS,
    TO_REPLICA,
    Board,
    Link,
    Look,
    Panel,
    Query,
    Row,
    quantile,
)
from dashboards.trust import ROW

_OBJECTIVE = f"{BAD_OUTPUT_OBJECTIVE:g}"


def _ratio(window: str) -> str:
    requests = f"sum(rate(specwatch_requests_total{{{MODEL}}}[{window}]))"
    bad = f"sum(rate(specwatch_bad_output_total{{{MODEL}}}[{window}]))"
    return f"({bad} or vector(0)) / {requests}"


_DELIVERED = Row(
    "What clients got",
    (
        Panel(
            1,
            "Bad output delivered",
            "Share of the requests whose client got bad tokens over 30 days: a whole marked "
            "answer, or what leaked before a stop. The objective is 0.1 %.",
            Look.STAT,
            "percentunit",
            (Query(_ratio("30d")),),
            limits=(BAD_OUTPUT_OBJECTIVE / 2, BAD_OUTPUT_OBJECTIVE),
            width=6,
        ),
        Panel(
            1,
            "Budget left",
            "What is left of the 30 days' budget of bad output; below 0 the objective is missed.",
            Look.GAUGE,
            "percentunit",
            (Query(f"1 - ({_ratio('30d')}) / {_OBJECTIVE}"),),
            width=6,
        ),
        Panel(
            14,
            "Burn rate",
            "How many times faster than allowed the budget is used, over several windows; 14.4 and "
            "6 page, 3 and 1 make a ticket.",
            Look.SERIES,
            "short",
            tuple(
                Query(f"max({burn(window)}{{{MODEL}}}) / {_OBJECTIVE}", window)
                for window in ("5m", "1h", "6h", "3d")
            )
            + tuple(Query(f"vector({level:g})", f"{level:g}x") for level in (14.4, 6, 3, 1)),
        ),
        Panel(
            2,
            "Anomalies per 10,000 requests",
            "Verdicts by kind: garbled text, repetition, rare characters.",
            Look.STACKED,
            "short",
            (
                Query(
                    "1e4 * sum by (kind) "
                    f"(rate(specwatch_detections_total{{{MODEL},{KIND}}}{RANGE})) "
                    "/ on () group_left () "
                    f"(sum(rate(specwatch_requests_total{{{MODEL}}}{RANGE})) > 0)",
                    "{{kind}}",
                ),
            ),
        ),
        Panel(
            22,
            "What the client waits for",
            "Time to the first byte, time between tokens and whole duration as clients see them; "
            "dots are single requests with their trace id.",
            Look.SERIES,
            "s",
            tuple(
                Query(quantile(share, metric, "", MODEL), f"{what} p{share * 100:g}", exemplar)
                for metric, what, exemplar in (
                    ("specwatch_time_to_first_byte_seconds", "first byte", True),
                    ("specwatch_between_tokens_seconds", "between tokens", False),
                    ("specwatch_request_duration_seconds", "whole", False),
                )
                for share in (0.5, 0.99)
            ),
        ),
    ),
)

_FOUND = Row(
    "Where anomalies are",
    (
        Panel(
            3,
            "Anomaly rate by replica, worst first",
            "Share of a replica's attempts with a verdict in the last 15 minutes, and how many "
            "times the fleet's it is. A click opens the replica.",
            Look.TABLE,
            "percentunit",
            (
                Query("sort_desc(replica:specwatch_anomalies:ratio_rate15m)", "share"),
                Query(
                    "replica:specwatch_anomalies:ratio_rate15m / on () group_left () "
                    "(sum(replica:specwatch_anomalies:increase15m) "
                    "/ sum(replica:specwatch_attempts:increase15m))",
                    "times the fleet's",
                ),
            ),
            links=(TO_REPLICA, TO_INCIDENTS),
        ),
        Panel(
            24,
            "Top incidents",
            "The 50 most frequent pairs of replica and kind in the time shown; a click lists the "
            "newest of them at the proxy, each with its request and trace id.",
            Look.TABLE,
            "short",
            (
                Query(
                    "topk(50, sum by (replica, kind) "
                    f"(increase(specwatch_anomalies_total{{{KIND}}}[$__range])))",
                    "incidents",
                ),
            ),
            links=(
                Link(
                    "newest incidents",
                    "${proxy}/api/incidents?limit=50&replica=${__data.fields.replica}"
                    "&kind=${__data.fields.kind}",
                ),
            ),
        ),
        Panel(
            4,
            "Accept length of answers",
            "Tokens per verification step, one answer a count. A second band near 1 is damage or a "
            "dead drafter.",
            Look.HEATMAP,
            "short",
            (
                Query(
                    f"sum by (le) (increase(specwatch_accept_length_bucket{{{MODEL}}}{RANGE}))",
                    "{{le}}",
                    has_exemplars=True,
                ),
            ),
        ),
        Panel(
            4,
            "Accept rate of answers",
            "Share of the drafts that were kept, one answer a count. A band at 1 with repetition "
            "beside it is loops.",
            Look.HEATMAP,
            "percentunit",
            (
                Query(
                    f"sum by (le) (increase(specwatch_accept_rate_bucket{{{MODEL}}}{RANGE}))",
                    "{{le}}",
                ),
            ),
        ),
    ),
)

BOARD = Board(
    "specwatch-fleet",
    "specwatch: Fleet quality",
    "What clients of an LLM fleet got, which anomalies were found, and how far to trust that.",
    (_DELIVERED, _FOUND, ROW),
)
