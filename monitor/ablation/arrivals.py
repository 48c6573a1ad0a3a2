"""The requests of one load. Pure and deterministic: the same in every cell that has the load."""

import random
from dataclasses import dataclass

from monitor.ablation.grid import Load
from monitor.traffic.schedule import Planned
from monitor.traffic.trace import TraceRequest

_BURST_PERIOD_SECONDS = 4.0
_BURST_SHARE = 1 / 8
BLOCK_TOKENS = 64
_TEMPERATURES = (0.0, 0.7, 1.0)
_ANSWER_TOKENS = (16, 32, 64)
_TAIL_MEAN_LOG, _TAIL_SPREAD_LOG = 4.3, 0.8  # many short, a few long: the middle is 74 tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """What the prompts look like.

    Attributes:
        longest_prompt: tokens.
        documents: beginnings that requests share, so that prefixes are evicted and come back from
            host memory.
        document_tokens: of each.
        shared: share of the requests that begin with one of them.
    """

    longest_prompt: int = 640
    documents: int = 24
    document_tokens: int = 256
    shared: float = 0.6


def build_requests(load: Load, shape: Shape, count: int, seed: int) -> list[Planned]:
    """``count`` requests by arrival.

    Poisson arrivals. A shared beginning has the same blocks wherever it occurs; what follows it is
    the request's own, because it is longer than its blocks.
    """
    rng = random.Random(f"{seed}/{load.name}")
    found, now = [], 0.0
    for number in range(count):
        request = _request(now, shape, rng)
        found.append(Planned(number, now, request, copy_number=seed))
        now += rng.expovariate(rate_at(load, now))
    return found


def rate_at(load: Load, now: float) -> float:
    """Requests a second at a time: the bursts keep the mean."""
    calm = load.rate / (1 - _BURST_SHARE + _BURST_SHARE * load.burst)
    is_burst = now % _BURST_PERIOD_SECONDS >= _BURST_PERIOD_SECONDS * (1 - _BURST_SHARE)
    return calm * load.burst if is_burst else calm


def _request(now: float, shape: Shape, rng: random.Random) -> TraceRequest:
    own = max(24, int(rng.lognormvariate(_TAIL_MEAN_LOG, _TAIL_SPREAD_LOG)))
    document = rng.randrange(shape.documents) if rng.random() < shape.shared else None
    blocks: tuple[int, ...] = ()
    if document is not None:
        size = shape.document_tokens // BLOCK_TOKENS
        blocks = tuple(document * size + index for index in range(size))
    return TraceRequest(
        at_seconds=now,
        input_tokens=min(shape.longest_prompt, own + len(blocks) * BLOCK_TOKENS),
        output_tokens=rng.choice(_ANSWER_TOKENS),
        blocks=blocks,
        block_tokens=BLOCK_TOKENS,
        sampling={"temperature": rng.choice(_TEMPERATURES)},
    )
