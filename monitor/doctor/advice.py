"""Judges what a visit found. Pure."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.doctor.facts import Abort, AbortEnd, Facts, Sample, Signal
from monitor.doctor.races import parse_version, races_of, uses
from retry_proxy.engines.adapter import EngineProfile

SLOW_ABORT_SECONDS = 3.0

_METRICS_FLAG = {"sglang": "--enable-metrics", "llamacpp": "--metrics"}
_WASTE = "work that is thrown away takes its time after each stopped answer"
_SIGNALS = {
    Signal.EXACT: "tells accepted drafts with every chunk",
    Signal.UPPER_BOUND: "acceptance with every chunk, as an upper bound: a low one is believed",
    Signal.AT_THE_END: "tells accepted drafts with the last chunk alone: too late to stop",
    Signal.NONE: "tells nothing of drafts: the text alone is judged",
}


class Level(enum.StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    NOTE = "note"  # worth knowing
    TROUBLE = "trouble"  # somebody should act


@dataclass(frozen=True, slots=True)
class Finding:
    """One line.

    Attributes:
        topic: ``reach``, ``engine``, ``signal``, ``metrics``, ``abort`` or ``race``.
        advice: what to do about it; may be empty.
    """

    level: Level
    topic: str
    text: str
    advice: str = ""
    source: str = ""


def findings(facts: Facts) -> list[Finding]:
    """All that is to be said of one replica."""
    if facts.error is not None or facts.profile is None:
        return [Finding(Level.TROUBLE, "reach", facts.error or "it does not say what it is")]
    profile = facts.profile
    found = [_engine(profile), *_metrics(facts, profile)]
    if facts.sample is not None:
        found += _signal(facts.sample, profile)
    if facts.abort is not None:
        found.append(_abort(facts.abort, profile))
    return [*found, *_races(facts, profile)]


def _engine(profile: EngineProfile) -> Finding:
    if profile.name == "openai":
        text = "none of the engines that are known: taken for an OpenAI-compatible server"
        return Finding(Level.NOTE, "engine", text, "name it with --engine if it is one")
    name = "the integrated engine" if profile.is_integrated else profile.name
    models = ", ".join(profile.models) or "no model named"
    return Finding(Level.GOOD, "engine", f"{name} {profile.version or '?'}, {models}")


def _metrics(facts: Facts, profile: EngineProfile) -> Iterator[Finding]:
    if facts.needs_key:
        text = "some of its pages need a key"
        yield Finding(Level.TROUBLE, "reach", text, "give --api-key, and serve --probe-api-key")
    if profile.name == "openai":
        return
    reading = facts.metrics
    if reading is None or reading.is_empty:
        flag = _METRICS_FLAG.get(profile.name)
        advice = "" if flag is None else f"start it with {flag}"
        text = "no metrics of its own: no cache use, queue or acceptance by replica"
        yield Finding(Level.TROUBLE, "metrics", text, advice)
    elif reading.missing:
        text = f"metrics are missing: {', '.join(reading.missing)}"
        advice = "this version may have renamed them: EngineMetricsAbsent will fire"
        yield Finding(Level.TROUBLE, "metrics", text, advice)
    else:
        yield Finding(Level.GOOD, "metrics", f"{len(reading.values)} metrics are known")


def _signal(sample: Sample, profile: EngineProfile) -> Iterator[Finding]:
    if sample.error is not None:
        yield Finding(Level.TROUBLE, "signal", f"a tiny request failed: {sample.error}")
        return
    level = Level.GOOD if sample.signal in (Signal.EXACT, Signal.UPPER_BOUND) else Level.NOTE
    text = _SIGNALS[sample.signal]
    if sample.signal is Signal.NONE and profile.name == "llamacpp":
        text += (
            " (no drafts in this answer; n-gram speculation proposes some only where text repeats)"
        )
    yield Finding(level, "signal", text)
    if not profile.is_speculating and profile.name in ("sglang", "vllm"):
        advice = "switch speculation on, or expect later findings from the text"
        yield Finding(Level.NOTE, "signal", "it does not speculate: no acceptance", advice)


def _abort(abort: Abort, profile: EngineProfile) -> Finding:
    took, why = f"{abort.seconds:.2f} s", abort.reason
    is_slow = abort.seconds > SLOW_ABORT_SECONDS
    unseen = "" if profile.name == "openai" else "its metrics would tell, on an idle replica"
    level, text, advice = {
        AbortEnd.STOPPED: (Level.GOOD, f"an aborted generation ended after {took}", ""),
        AbortEnd.RAN_ON: (Level.TROUBLE, f"an aborted generation still ran after {took}", _WASTE),
        AbortEnd.REFUSED: (Level.TROUBLE, f"aborts are refused: {why}", "give the key they need"),
        AbortEnd.FAILED: (Level.TROUBLE, f"a long request failed: {why}", ""),
        AbortEnd.ENDED_BEFORE: (Level.NOTE, "the answer ended before it could be aborted", ""),
        AbortEnd.UNSEEN: (Level.NOTE, f"nothing tells whether an abort works: {why}", unseen),
    }[abort.end]
    if abort.end is AbortEnd.STOPPED and is_slow:
        level, advice = Level.TROUBLE, _WASTE
    return Finding(level, "abort", text, advice)


def _races(facts: Facts, profile: EngineProfile) -> Iterator[Finding]:
    if profile.name == "openai" or profile.is_integrated:
        return
    version = parse_version(profile.version)
    if version is None:
        if profile.name == "sglang":
            yield Finding(Level.NOTE, "race", "its version is not told: known races cannot be")
        return
    for race in races_of(profile.name, version):
        is_used = uses(race.part, facts.server_info)
        if is_used is False:
            continue
        level = Level.NOTE if race.is_rare else Level.TROUBLE
        condition = "" if is_used else f" (if it uses {race.part.value})"
        yield Finding(level, "race", race.text + condition, race.advice, race.source)
