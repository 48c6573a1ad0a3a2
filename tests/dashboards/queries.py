"""All queries of dashboards and rules, as Prometheus would get them."""

import re

from alerts.build import GROUPS
from alerts.rule import Recording
from dashboards.build import BOARDS
from monitor.catalog import CATALOG

_NAME = re.compile(r"\b(?:\w+:)?specwatch_\w+(?::\w+)?")


def filled(expr: str, seconds: int = 60) -> str:
    """With Grafana's variables put in: everything selected."""
    for variable in ("model", "replica", "kind"):
        expr = expr.replace(f"${variable}", ".*")
    return expr.replace("$__rate_interval", f"{seconds}s").replace("$__range", "1h")


def panel_queries() -> list[tuple[str, str]]:
    """A name for each, and the query."""
    return [
        (f"{board.uid} / {panel.number} {panel.title} / {query.legend}", query.expr)
        for board in BOARDS
        for panel in board.panels
        for query in panel.queries
    ]


def rule_queries() -> list[tuple[str, str]]:
    """Of recording rules and alerts."""
    return [(rule.name, rule.expr) for group in GROUPS for rule in group.rules]


def names_in(expr: str) -> set[str]:
    """Names of our series in a query."""
    return set(_NAME.findall(expr))


RECORDED = {r.name for group in GROUPS for r in group.rules if isinstance(r, Recording)}
EMITTED = {sample for metric in CATALOG for sample in metric.samples}
