"""What a detector costs: time per token and memory per stream."""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from monitor.offline.trials import Case
from monitor.offline.watch import Watcher, follow

# Code, not state; what it refers to is shared by all streams.
_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one detector.

    Attributes:
        microseconds: processor time for one token, the best of the rounds.
        stream_bytes: most memory of one stream, without what all streams share.
        tokens: that were timed.
    """

    microseconds: float
    stream_bytes: int
    tokens: int

    def to_dict(self) -> dict[str, float]:
        return {
            "microseconds_per_token": self.microseconds,
            "bytes_per_stream": self.stream_bytes,
            "timed_tokens": self.tokens,
        }


def measure_cost(
    make: Callable[[Case], Watcher], cases: Sequence[Case], rounds: int = 2
) -> Cost | None:
    """Time and memory over whole streams, each up to its alarm; ``None`` without any token."""
    tokens = sum(follow(make(case), case.stream).tokens for case in cases)
    if tokens == 0:
        return None
    nanoseconds = min(sum(_time_stream(make(case), case) for case in cases) for _ in range(rounds))
    return Cost(nanoseconds / 1000 / tokens, _most_bytes(make, cases), tokens)


def _time_stream(watcher: Watcher, case: Case) -> int:
    """As in the proxy: an update for each chunk, then the question whether to hold."""
    started = time.thread_time_ns()
    for observation in case.stream:
        if watcher.update(observation) is not None:
            break
        _ = watcher.is_watching
    return time.thread_time_ns() - started


def _most_bytes(make: Callable[[Case], Watcher], cases: Sequence[Case]) -> int:
    most = 0
    for case in cases:
        watcher = make(case)
        fresh = (make(case), make(case))
        for observation in case.stream:
            watcher.update(observation)
        most = max(most, stream_bytes(watcher, fresh))
    return most


def stream_bytes(used: object, fresh: tuple[object, object]) -> int:
    """Bytes of all that ``used`` reaches, without what two fresh ones both reach.

    The stream's own observations are no state: they are not reached from a detector.
    """
    shared = set(_reached(fresh[0])) & set(_reached(fresh[1]))
    return sum(sys.getsizeof(each) for key, each in _reached(used).items() if key not in shared)


def _reached(root: object) -> dict[int, Any]:
    """Every object that can be reached from ``root``, by identity."""
    found: dict[int, Any] = {}
    waiting: list[Iterable[object]] = [[root]]
    while waiting:
        for each in waiting.pop():
            if id(each) in found or isinstance(each, _CODE):
                continue
            found[id(each)] = each
            waiting.append(gc.get_referents(each))
    return found
