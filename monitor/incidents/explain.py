"""One incident, told on the terminal: what was seen, why, what was done, how the engine was."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.incidents.engine_then import EngineNumbers, EngineThen
from monitor.incidents.listing import KIND_STYLES
from monitor.incidents.plain import moment, number, percent, printable, word
from monitor.incidents.strip import strip
from monitor.incidents.timeline import timeline
from monitor.records import Incident, RequestRecord

_INDENT = (0, 0, 0, 2)
_ENGINE_ROWS = (  # title, field, digits: None for a share
    ("running requests", "running", 0),
    ("waiting requests", "waiting", 0),
    ("KV cache in use", "cache_usage", None),
    ("aborted since start", "aborts", 0),
    ("accept length, all requests", "accept_length", 2),
    ("accept rate, all requests", "accept_rate", None),
)


def explanation(incident: Incident, width: int) -> Group:
    """All that is known of ``incident``, for a screen of ``width`` columns."""
    return Group(*_parts(incident, width))


def _parts(one: Incident, width: int) -> Iterator[RenderableType]:
    yield Text(one.kind.value, f"bold {KIND_STYLES.get(one.kind.value, '')}").append(
        f" on {word(one.facts.replica)}, {moment(one.at)} UTC", "bold"
    )
    yield Padding(_facts(one), _INDENT, expand=False)
    yield from _section("Why", _why(one))
    if one.steps is not None:
        yield from _section("Accepted drafts", strip(one.steps, width - 2))
    else:
        untold = "not known: its engine tells none, it was one of several answers, or an old record"
        yield from _section("Accepted drafts", Text(untold))
    attempts = one.request.attempts if one.request is not None else ()
    yield from _section("Attempts of the request", timeline(attempts or (one.facts,), one.id))
    yield Padding(Text(_request_line(one.request)), _INDENT, expand=False)
    yield from _section("The engine then", _engine(one.engine_then))
    if one.second_opinion is not None:
        opinion = one.second_opinion
        told = f"{word(opinion.opinion)}: {word(opinion.reason)} ({opinion.tokens} tokens)"
        yield from _section("The judge", Text(told))
    if one.text_sample is not None:
        text = Text(printable(one.text_sample))
        yield Text("\nCaptured text (redacted)", "bold")
        yield Panel(text, width=min(width, 100))


def _section(title: str, body: RenderableType) -> Iterator[RenderableType]:
    yield Text(f"\n{title}", "bold")
    yield Padding(body, _INDENT, expand=False)


def _facts(one: Incident) -> Text:
    facts = one.facts
    lines = [
        f"attempt {word(one.id)} of request {word(one.request_id)}",
        f"model {word(facts.model)}, engine {word(facts.engine)}, "
        f"temperature {number(facts.temperature)}, prompt {number(facts.prompt_tokens, 0)} tokens",
        f"{number(facts.completion_tokens, 0)} tokens in {number(facts.duration_seconds)} s, "
        f"accept length {number(facts.accept_length)}, accept rate {percent(facts.accept_rate)}",
        f"{number(facts.released_tokens, 0)} tokens reached the client, "
        f"{number(facts.leaked_tokens, 0)} of them after the onset; "
        f"{number(facts.wasted_tokens, 0)} thrown away",
    ]
    return Text("\n".join(lines))


def _why(one: Incident) -> Text:
    verdict = one.facts.verdict
    if verdict is None:
        return Text("the record has no verdict: another version wrote it")
    evidence = ", ".join(
        f"{word(name)} {number(value, 4)}" for name, value in sorted(verdict.evidence.items())
    )
    lines = [
        printable(verdict.reason) or "no reason was told",
        f"detector {word(verdict.detector)}, score {number(verdict.score)}; onset at token "
        f"{verdict.onset_token:,}, alarm after {verdict.alarm_token:,}: "
        f"{max(0, verdict.alarm_token - verdict.onset_token):,} tokens later",
    ]
    return Text("\n".join(lines + ([evidence] if evidence else [])))


def _request_line(request: RequestRecord | None) -> str:
    if request is None:
        return "the request has not ended, or its end was not recorded"
    told = f"{word(request.outcome)} after {number(request.duration_seconds)} s on "
    told += f"{word(request.route)}; watching and retrying cost the client "
    told += f"{number(request.added_delay_seconds)} s, and {number(request.wasted_tokens, 0)} "
    told += "tokens were thrown away"
    refused = request.retry_refused
    return told if refused is None else f"{told}; no further attempt: {word(refused)}"


def _engine(then: EngineThen | None) -> RenderableType:
    if then is None:
        return Text("its own metrics could not be read at that time")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("this replica", justify="right")
    table.add_column(f"median of {then.other_replicas} others", justify="right")
    for row in engine_rows(then):
        table.add_row(*row)
    age = f"scraped {number(then.age_seconds, 1)} s before the attempt's end"
    failed = "" if then.error is None else f"; the last scrape failed: {word(then.error)}"
    return Group(table, Text(age + failed, "dim"))


def engine_rows(then: EngineThen) -> list[tuple[str, str, str]]:
    """What each number is, this replica's, and the others'."""
    return [
        (title, _cell(then.own, name, digits), _cell(then.others, name, digits))
        for title, name, digits in _ENGINE_ROWS
    ]


def _cell(numbers: EngineNumbers | None, name: str, digits: int | None) -> str:
    value = None if numbers is None else getattr(numbers, name)
    return percent(value) if digits is None else number(value, digits)
