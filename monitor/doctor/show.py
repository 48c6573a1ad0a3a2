"""Findings in the terminal, and as JSON for scripts."""

import msgspec
from rich.console import Console
from rich.text import Text

from monitor.doctor.advice import Finding, Level
from monitor.doctor.facts import Facts

_MARKS = {Level.GOOD: ("ok", "green"), Level.NOTE: ("note", "cyan"), Level.TROUBLE: ("!!", "red")}


def show(console: Console, facts: Facts, found: list[Finding]) -> None:
    """One replica."""
    console.print(Text(facts.address, style="bold"))
    for one in found:
        mark, style = _MARKS[one.level]
        line = Text.assemble((f"  {mark:<5}", style), (f"{one.topic:<8}", "dim"), one.text)
        if one.advice:
            line.append(f"\n                → {one.advice}")
        if one.source:
            line.append(f"\n                  {one.source}", style="dim")
        console.print(line, soft_wrap=True)


def as_json(visits: list[tuple[Facts, list[Finding]]]) -> str:
    """All of them: what was found, and what to make of it."""
    rows = []
    for facts, found in visits:
        profile = facts.profile
        rows.append(
            {
                "address": facts.address,
                "engine": None if profile is None else profile.name,
                "version": None if profile is None else profile.version,
                "is_integrated": None if profile is None else profile.is_integrated,
                "models": [] if profile is None else list(profile.models),
                "sample": facts.sample,
                "abort": facts.abort,
                "missing_metrics": [] if facts.metrics is None else list(facts.metrics.missing),
                "needs_attention": needs_attention(found),
                "findings": found,
            }
        )
    return msgspec.json.format(msgspec.json.encode({"replicas": rows}), indent=2).decode()


def needs_attention(found: list[Finding]) -> bool:
    """Somebody should act on one of them."""
    return any(one.level is Level.TROUBLE for one in found)
