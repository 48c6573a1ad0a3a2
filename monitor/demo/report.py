"""Draws the demo's numbers. Takes values, returns what rich can print."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.demo.judge import Score, is_success

SAMPLE_CHARACTERS = 280


@dataclass(frozen=True, slots=True)
class Sample:
    """One stopped generation.

    Attributes:
        damage: what was done to its cache; ``None``: nothing, it was stopped by mistake.
    """

    incident_id: str
    replica: str
    kind: str
    damage: str | None
    alarm_token: int
    accept_length: float | None
    text: str


def number(value: float | None, unit: str = "") -> str:
    """A number for the table; a dash where there was nothing to measure."""
    if value is None:
        return "-"
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return f"{shown} {unit}".rstrip()


ROWS: tuple[tuple[str, Callable[[Score], str]], ...] = (
    ("requests", lambda score: number(score.requests)),
    ("full answers", lambda score: number(score.full_answers)),
    ("answers that ended on damaged cache", lambda score: number(score.answers_ended_on_damage)),
    ("attempts", lambda score: number(score.attempts)),
    ("  of them damaged", lambda score: number(score.damaged_attempts)),
    ("aborts", lambda score: number(score.aborts)),
    ("  of them healthy", lambda score: number(score.needless_aborts)),
    ("retries", lambda score: number(score.retries)),
    ("leaked tokens (damaged, reached a client)", lambda score: number(score.leaked_tokens)),
    ("tokens thrown away", lambda score: number(score.wasted_tokens)),
    (
        "tokens from damage to alarm, median",
        lambda score: number(score.median_tokens_to_detection),
    ),
    (
        "added delay of a retried request, median",
        lambda score: number(score.median_added_delay_seconds, "s"),
    ),
    ("  longest", lambda score: number(score.longest_added_delay_seconds, "s")),
    ("time for all", lambda score: number(score.seconds, "s")),
)


def results_table(unprotected: Score, protected: Score) -> Table:
    """Both phases side by side."""
    table = Table(title="The same requests, judged by the engines' record of the damage")
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with specwatch", justify="right")
    for name, show in ROWS:
        is_headline = name.startswith("answers that ended")
        style = "bold" if is_headline else ""
        table.add_row(name, show(unprotected), show(protected), style=style)
    return table


def sample_panels(samples: Sequence[Sample]) -> RenderableType:
    """What was stopped, in the model's own words."""
    if not samples:
        return Text("Nothing was stopped, so there is nothing to show.")
    return Group(*(_sample_panel(sample) for sample in samples))


def _sample_panel(sample: Sample) -> Panel:
    length = "" if sample.accept_length is None else f", accept length {sample.accept_length:.2f}"
    cause = "healthy cache" if sample.damage is None else f"cache damage {sample.damage}"
    title = f"{cause}: {sample.kind}, stopped after {sample.alarm_token} tokens{length}"
    return Panel(Text(shorten(sample.text)), title=Text(title), title_align="left")


def shorten(text: str, limit: int = SAMPLE_CHARACTERS) -> str:
    """One printable paragraph of ``text``, without its control characters and line breaks."""
    flat = " ".join("".join(c if c.isprintable() or c.isspace() else "�" for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def sentence(protected: Score) -> Text:
    """The outcome in a sentence."""
    if is_success(protected):
        return Text(
            "With specwatch, every request got a full answer and none of them "
            "ended on damaged cache.",
            style="bold green",
        )
    missing = protected.requests - protected.full_answers
    return Text(
        f"Not good: with specwatch, {protected.answers_ended_on_damage} answers ended on damaged "
        f"cache and {missing} were not full answers.",
        style="bold red",
    )


def where_next(proxy: str, incidents: int, metric_lines: Sequence[str], is_kept: bool) -> Text:
    """Where to look next; with the answers, since the stack may be gone."""
    head = (
        f"All of it is still running; Ctrl-C ends it. The proxy is at {proxy}."
        if is_kept
        else "Where to look next (`specwatch demo --keep` leaves all of it running):"
    )
    lines = [
        head,
        f"  {proxy}/page                  → live streams, replicas and incidents, in a browser",
        f"  specwatch incidents --from {proxy}  → {incidents} incidents",
        f"  specwatch explain ID --from {proxy} → one of them, step by step",
        f"  curl {proxy}/metrics          → for example",
        *(f"      {line}" for line in metric_lines),
    ]
    return Text("\n".join(lines))
