"""When each request of a replay is due. Pure and deterministic: no clock, no chance."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from monitor.traffic.trace import TraceRequest

_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly over 0 to 1
_ROUNDING = 1e-9


class Planned(msgspec.Struct, frozen=True):
    """One request to send.

    Attributes:
        number: its place in the plan, from 0.
        at_seconds: when, after the replay began.
        copy_number: 0: the trace's own request. Copies have prompts of their own, with the prefix
            structure of their originals among themselves.
    """

    number: int
    at_seconds: float
    request: TraceRequest
    copy_number: int = 0


def build_plan(
    requests: Sequence[TraceRequest],
    *,
    speed: float = 1.0,
    concurrency_scale: float = 1.0,
    limit: int | None = None,
    duration_seconds: float | None = None,
) -> list[Planned]:
    """The whole replay, by due time.

    Args:
        requests: by arrival.
        speed: 2 replays an hour in half an hour.
        concurrency_scale: mean number of times that each request is sent. Of 1.5, every second
            request is sent twice; of 0.5, every second one not at all. A copy comes up to one mean
            gap after its original, so that bursts keep their shape.
        limit: at most so many requests.
        duration_seconds: nothing that would be due later, in the replay's own time.
    """
    timed = sorted(
        _due(requests, concurrency_scale, speed), key=lambda due: (due[0], due[1], due[2])
    )
    if duration_seconds is not None:
        timed = [due for due in timed if due[0] < duration_seconds]
    return [
        Planned(number, at_seconds, requests[index], copy_number)
        for number, (at_seconds, index, copy_number) in enumerate(timed[:limit])
    ]


def _due(
    requests: Sequence[TraceRequest], scale: float, speed: float
) -> Iterable[tuple[float, int, int]]:
    """(due time, index of the request, number of the copy), in no order."""
    gap = mean_gap_seconds(requests)
    for index, request in enumerate(requests):
        copies = _times(index + 1, scale) - _times(index, scale)
        for copy_number in range(copies):
            shift = gap * ((index + copy_number) * _GOLDEN % 1) if copy_number else 0.0
            yield (request.at_seconds + shift) / speed, index, copy_number


def _times(index: int, scale: float) -> int:
    """How many requests have been sent when ``index`` of the trace's are over."""
    return math.floor(index * scale + _ROUNDING)


def mean_gap_seconds(requests: Sequence[TraceRequest]) -> float:
    """Mean time between two arrivals."""
    if len(requests) < 2:
        return 0.0
    return (requests[-1].at_seconds - requests[0].at_seconds) / (len(requests) - 1)


def split(plan: Sequence[Planned], workers: int) -> list[list[Planned]]:
    """A share for each worker, in turn: every share has the arrival pattern of the whole.

    Fewer shares than ``workers`` if there are fewer requests.
    """
    return [list(plan[first::workers]) for first in range(min(workers, len(plan)))]
