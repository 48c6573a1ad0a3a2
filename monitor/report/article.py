"""The table of incidents, and one incident on the report's page. Pure."""

from collections.abc import Mapping, Sequence

from monitor.incidents.explain import engine_rows
from monitor.incidents.plain import moment, number, word
from monitor.incidents.strip import quality_note
from monitor.records import AttemptFacts, Incident
from monitor.report.markup import Child, Markup, el, join
from monitor.report.plots import step_plot


def anchor(at: int) -> str:
    """Name of the place of the incident with this number: an id may be anything."""
    return f"incident-{at}"


def table(incidents: Sequence[Incident], linked: Mapping[str, str]) -> Markup:
    """One row each, with a link to its place."""
    names = ("time (UTC)", "kind", "detector", "request", "replica", "model")
    numbers = ("accept", "onset", "alarm")
    head = el("tr", *(el("th", one) for one in names), *(el("th", n, class_="n") for n in numbers))
    rows = (_row(one, linked.get(one.id)) for one in incidents)
    return el("table", el("thead", head), el("tbody", *rows))


def article(one: Incident, name: str) -> Markup:
    """All that is known of one."""
    verdict = one.facts.verdict
    title = f"{one.kind.value} on {word(one.facts.replica)}, {moment(one.at)} UTC"
    why = "no verdict in this record" if verdict is None else verdict.reason or "no reason told"
    parts: list[Child] = [
        el("h3", title),
        el("p", why),
        el("p", _numbers(one), class_="dim"),
    ]
    if one.steps is not None:
        note = f"Accepted drafts of each step; red: none.{quality_note(one.steps)}"
        parts += [step_plot(one.steps), el("p", note, class_="dim")]
    attempts = one.request.attempts if one.request is not None else (one.facts,)
    parts.append(el("div", _attempts(attempts, one.id), class_="wide"))
    if one.engine_then is not None:
        parts.append(el("div", _engine(one), class_="wide"))
    if one.text_sample is not None:
        parts += [el("p", "Captured text, redacted:", class_="dim"), el("pre", one.text_sample)]
    return el("article", *parts, id=name)


def _row(one: Incident, link: str | None) -> Markup:
    verdict, facts = one.facts.verdict, one.facts
    when = moment(one.at)
    words = [
        one.kind.value,
        word(None if verdict is None else verdict.detector),
        "running" if one.request is None else word(one.request.outcome),
    ]
    names = (word(facts.replica.removeprefix("http://")), word(facts.model))
    numbers = [
        number(facts.accept_length),
        number(None if verdict is None else verdict.onset_token, 0),
        number(None if verdict is None else verdict.alarm_token, 0),
    ]
    first = el("td", when if link is None else el("a", when, href=f"#{link}"), class_="w")
    cells = [el("td", cell, class_="w") for cell in words] + [el("td", cell) for cell in names]
    return el("tr", first, *cells, *(el("td", cell, class_="n") for cell in numbers))


def _numbers(one: Incident) -> str:
    facts, verdict = one.facts, one.facts.verdict
    found = ""
    if verdict is not None:
        found = f"{verdict.detector}, score {number(verdict.score)}; onset at token "
        found += f"{verdict.onset_token:,}, alarm after {verdict.alarm_token:,}; "
    return (
        f"{found}accept length {number(facts.accept_length)}; model {word(facts.model)}, engine "
        f"{word(facts.engine)}; {number(facts.wasted_tokens, 0)} tokens thrown away, "
        f"{number(facts.leaked_tokens, 0)} bad ones leaked; id {one.id}"
    )


def _attempts(attempts: Sequence[AttemptFacts], marked: str) -> Markup:
    head = el("tr", *(el("th", n) for n in ("attempt", "replica", "outcome", "tokens", "seconds")))
    rows = (
        el(
            "tr",
            el("td", f"{'→ ' if one.rid == marked else ''}{one.attempt}"),
            el("td", word(one.replica)),
            el("td", one.outcome.value, f" ({word(one.error)})" if one.error else None),
            el("td", number(one.completion_tokens, 0)),
            el("td", number(one.duration_seconds)),
        )
        for one in attempts
    )
    return el("table", head, *rows)


def _engine(one: Incident) -> Markup:
    then = one.engine_then
    assert then is not None, "asked for an engine that told nothing"
    head = (
        "engine then",
        f"this replica ({number(then.age_seconds, 1)} s before)",
        f"median of {then.other_replicas} others",
    )
    rows = (el("tr", *(el("td", cell) for cell in row)) for row in engine_rows(then))
    return join(el("table", el("tr", *(el("th", name) for name in head)), *rows))
