"""What torch.profiler says about one pass: broadcasts, and what ran beside them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Span = tuple[float, float]
WAITING = ("layersplit::wait_index", "layersplit::wait_kv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Seconds of one pass on the first rank.

    Attributes:
        broadcast: time in which a broadcast was under way.
        hidden: of that, time in which the rank computed. On a GPU: in which kernels other than
            NCCL's ran; on a CPU: in which the rank's thread did not wait for arrivals.
        exchange: time in which new rows were under way.
        indexer, attention, waiting: time in these steps.
    """

    total: float
    broadcast: float
    hidden: float
    exchange: float
    indexer: float
    attention: float
    waiting: float


def profile_pass(run: Callable[[], float]) -> Overlap:
    """Runs one pass under the profiler; ``run`` returns its seconds."""
    activities = [ProfilerActivity.CPU]
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as found:
        total = run()
        if on_gpu:
            torch.cuda.synchronize()
    events: list[Any] = list(found.events() or [])
    sent = merged(spans(events, lambda event: is_sent(event, "broadcast")))
    return Overlap(
        total=total,
        broadcast=length(sent),
        hidden=length(sent) - length(cut(sent, idle_spans(events, on_gpu=on_gpu))),
        exchange=length(merged(spans(events, lambda event: is_sent(event, "gather")))),
        indexer=in_step(events, ("layersplit::indexer",), on_gpu=on_gpu),
        attention=in_step(events, ("layersplit::attention",), on_gpu=on_gpu),
        waiting=in_step(events, WAITING, on_gpu=False),
    )


def is_sent(event: Any, what: str) -> bool:
    """NCCL's kernels on a GPU; gloo's operations, which its threads report."""
    name = event.name.lower()
    is_kernel = "nccl" in name and is_on_gpu(event)
    return what in name and (is_kernel or name.startswith("gloo:"))


def is_on_gpu(event: Any) -> bool:
    return str(event.device_type).endswith("CUDA")


def idle_spans(events: list[Any], *, on_gpu: bool) -> list[Span]:
    """When the rank computed nothing."""
    if not on_gpu:
        return merged(spans(events, lambda event: event.name in WAITING))
    busy = merged(
        spans(events, lambda event: is_on_gpu(event) and "nccl" not in event.name.lower())
    )
    borders = [0.0, *(border for span in busy for border in span), float("inf")]
    return list(zip(borders[::2], borders[1::2], strict=True))


def spans(events: Iterable[Any], is_meant: Callable[[Any], bool]) -> list[Span]:
    """In microseconds."""
    return [(event.time_range.start, event.time_range.end) for event in events if is_meant(event)]


def merged(found: list[Span]) -> list[Span]:
    """The union, in order."""
    result: list[Span] = []
    for start, end in sorted(found):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def cut(first: list[Span], second: list[Span]) -> list[Span]:
    """What both have in common; each is in order and without overlaps."""
    return [
        (max(one[0], other[0]), min(one[1], other[1]))
        for one in first
        for other in second
        if max(one[0], other[0]) < min(one[1], other[1])
    ]


def length(found: list[Span]) -> float:
    """Seconds."""
    return sum(end - start for start, end in found) / 1e6


def in_step(events: list[Any], names: tuple[str, ...], *, on_gpu: bool) -> float:
    """Seconds in steps of these names; on a GPU: of the kernels that they queued."""
    named = [event for event in events if event.name in names and not is_on_gpu(event)]
    if on_gpu:
        return float(sum(event.device_time_total for event in named)) / 1e6
    return float(sum(event.time_range.elapsed_us() for event in named)) / 1e6
