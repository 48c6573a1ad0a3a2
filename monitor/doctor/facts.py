"""What a visit to one replica found out. Values only."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.engine_metrics.reading import Reading
from retry_proxy.engines.adapter import EngineProfile


class Signal(enum.StrEnum):
    """What an answer told of its drafts."""

    EXACT = "exact"  # counters as it ran
    UPPER_BOUND = "upper_bound"  # tokens of a chunk
    AT_THE_END = "at_the_end"  # counters with the last chunk alone
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Sample:
    """One tiny answer.

    Attributes:
        error: why there is none.
    """

    signal: Signal = Signal.NONE
    tokens: int = 0
    has_token_ids: bool = False
    error: str | None = None


class AbortEnd(enum.StrEnum):
    """What became of a generation that was to be stopped."""

    STOPPED = "stopped"
    RAN_ON = "ran_on"
    ENDED_BEFORE = "ended_before"  # by itself
    REFUSED = "refused"  # the order to abort
    UNSEEN = "unseen"  # nothing tells
    FAILED = "failed"  # it did not begin


@dataclass(frozen=True, slots=True)
class Abort:
    """One long answer that was begun and aborted.

    Attributes:
        seconds: from the abort to its end.
        reason: in words, where ``end`` does not say it.
    """

    end: AbortEnd
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """One replica.

    Attributes:
        error: it could not be asked at all; everything else is empty then.
        server_info: how it is run, where it tells.
        metrics: what its /metrics told, ``None`` without any.
        needs_key: some page wants a key.
        sample, abort: ``None`` if no request was made.
    """

    address: str
    error: str | None = None
    profile: EngineProfile | None = None
    server_info: Mapping[str, Any] = field(default_factory=dict)
    metrics: Reading | None = None
    needs_key: bool = False
    sample: Sample | None = None
    abort: Abort | None = None
