"""Known races of engines by version, with their sources. A table; asks nobody.

As read in the engines' released packages and public threads in November 2026.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SGLANG = "https://github.com/sgl-project/sglang"
_VLLM = "https://github.com/vllm-project/vllm"
_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)")

Version = tuple[int, ...]


class Part(enum.Enum):
    """What of an engine has to be in use for a race to happen."""

    ANY = "any"
    DISAGGREGATION = "prefill and decode apart"
    HOST_CACHE = "a host tier of the cache"


@dataclass(frozen=True, slots=True)
class Race:
    """One of them.

    Attributes:
        since: first version that has it, ``None`` for all before ``until``.
        until: first version without it, ``None`` where no fix is known.
        is_rare: it needs a time-out or a pattern of cancels: told, not counted as trouble.
    """

    engine: str
    since: Version | None
    until: Version | None
    part: Part
    text: str
    advice: str
    source: str
    is_rare: bool = False


RACES = (
    Race(
        "sglang",
        None,
        (0, 5, 11),
        Part.HOST_CACHE,
        "the index of sparse attention is read before it was loaded from the host",
        "update to 0.5.11 or later",
        f"{_SGLANG}/pull/22811",
    ),
    Race(
        "sglang",
        None,
        (0, 5, 13),
        Part.DISAGGREGATION,
        "a decode side whose request was aborted reuses pages that the prefill side still writes",
        "update to 0.5.21 or later",
        f"{_SGLANG}/issues/24527",
    ),
    Race(
        "sglang",
        (0, 5, 13),
        (0, 5, 19),
        Part.DISAGGREGATION,
        "an abort is told to the prefill side, and nobody waits until its transfer has ended",
        "update to 0.5.21 or later",
        f"{_SGLANG}/pull/27372",
    ),
    Race(
        "sglang",
        (0, 5, 19),
        (0, 5, 21),
        Part.DISAGGREGATION,
        "pages of an aborted request can be kept until the transfer has ended, but are not",
        "set SGLANG_DISAGGREGATION_DEFERRED_DECODE_KV_RELEASE=1, or update to 0.5.21",
        f"{_SGLANG}/pull/35049",
    ),
    Race(
        "sglang",
        (0, 5, 21),
        None,
        Part.DISAGGREGATION,
        "after 30 s without an answer the pages of an aborted request are reused all the same",
        'watch sglang:decode_deferred_kv_release_total{outcome="timeout"}',
        f"{_SGLANG}/pull/38961",
        is_rare=True,
    ),
    Race(
        "sglang",
        (0, 5, 10),
        None,
        Part.ANY,
        "cancels and retries of one prefix, milliseconds apart, harmed other requests",
        "keep --abort-limit-per-minute",
        f"{_SGLANG}/issues/23392",
        is_rare=True,
    ),
    Race(
        "sglang",
        None,
        None,
        Part.HOST_CACHE,
        "what is loaded back from the host was damaged with some models",
        "compare anomalies with and without the host tier",
        f"{_SGLANG}/issues/38031",
        is_rare=True,
    ),
    Race(
        "vllm",
        None,
        None,
        Part.DISAGGREGATION,
        "a transfer may write into pages that belong to somebody else by then (MooncakeConnector)",
        "watch anomalies by replica after aborts",
        f"{_VLLM}/issues/44238",
        is_rare=True,
    ),
)


def parse_version(text: str | None) -> Version | None:
    """``0.5.10.post1`` -> ``(0, 5, 10)``; ``None`` where there is none to be compared."""
    match = None if text is None else _NUMBERS.match(text)
    return None if match is None else tuple(int(one) for one in match.group(1).split("."))


def races_of(engine: str, version: Version) -> list[Race]:
    """Those that this version has."""
    return [
        race
        for race in RACES
        if race.engine == engine
        and (race.since is None or race.since <= version)
        and (race.until is None or version < race.until)
    ]


def uses(part: Part, server_info: Mapping[str, Any]) -> bool | None:
    """Whether the engine is run so that a race can happen, ``None`` where it does not say."""
    if part is Part.ANY:
        return True
    if part is Part.HOST_CACHE:
        told = server_info.get("enable_hierarchical_cache")
        return told if isinstance(told, bool) else None
    mode = server_info.get("disaggregation_mode", "unknown")
    return None if mode == "unknown" else mode not in (None, "null", "")
