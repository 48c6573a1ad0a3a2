"""LayerSplit on paper: what a layer sends, what hides it, and from where on it does not.

Per layer and sequence of ``context`` tokens, ``new`` of them not cached, on ``ranks`` ranks:

- broadcast: every rank but the owner receives the cached part, ``(context - new)`` tokens of index
  keys and of keys and values. A pipelined broadcast keeps each link busy once, whatever the number
  of ranks: ``latency + bytes / link``.
- new rows: an all-gather of ``new`` tokens, of which each rank receives ``(ranks - 1) / ranks``.
  Both layouts pay it.
- indexer: each rank scores ``new / ranks`` rows against all keys: ``2 * heads * dim`` operations a
  pair, half of the chunk's own keys being in the future.

In the published order the index keys are exposed, and of keys and values what the indexer does not
cover. Broadcast one unit ahead, all of it has the whole unit before to hide behind.

The indexer's time grows with ``new * context / ranks``, the broadcast's with ``context``: so the
overlap ends where ``new / ranks`` rows are too few, however long the context (``rows_to_hide``).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a rank and its links do.

    Attributes:
        link: bytes a second that a rank receives.
        latency: seconds of an empty collective operation.
        index_rate: operations a second of the indexer.
    """

    ranks: int
    link: float
    latency: float
    index_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """Bytes of a token in one layer, and operations of the indexer for one query and one key."""

    kv_bytes: int
    index_bytes: int
    index_operations: int


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Seconds of one layer of one sequence on one rank."""

    index_broadcast: float
    kv_broadcast: float
    rows: float
    indexer: float
    rest: float = 0.0


def layer_times(
    fleet: Fleet, shape: LayerShape, context: int, new: int, rest: float = 0.0
) -> LayerTimes:
    """``rest``: seconds of everything else that a rank computes in the layer, as measured."""
    cached = context - new
    share = (fleet.ranks - 1) / fleet.ranks
    rows = new * share * (shape.kv_bytes + shape.index_bytes) / fleet.link
    pairs = new / fleet.ranks * (cached + new / 2)
    is_alone = fleet.ranks == 1
    return LayerTimes(
        0.0 if is_alone else fleet.latency + cached * shape.index_bytes / fleet.link,
        0.0 if is_alone else fleet.latency + cached * shape.kv_bytes / fleet.link,
        0.0 if is_alone else 2 * fleet.latency + rows,
        pairs * shape.index_operations / fleet.index_rate,
        rest,
    )


def exposed(times: LayerTimes, ahead: int) -> float:
    """Seconds in which a rank waits for broadcasts; ``ahead`` as in ``schedule.plan_pass``."""
    if ahead == 0:
        return times.index_broadcast + max(0.0, times.kv_broadcast - times.indexer)
    both = times.index_broadcast + times.kv_broadcast
    return max(0.0, both - times.indexer - times.rest)


def rows_to_hide(fleet: Fleet, shape: LayerShape) -> float:
    """New tokens of a sequence from which on the indexer covers the broadcast of long contexts.

    Latency left out, and keys of the chunk itself: the context cancels out.
    """
    seconds_a_key = shape.index_operations / fleet.index_rate
    return fleet.ranks * shape.kv_bytes / fleet.link / seconds_a_key


def link_to_hide(fleet: Fleet, shape: LayerShape, new: int) -> float:
    """Bytes a second from which on the link is fast enough for chunks of ``new`` tokens."""
    return fleet.ranks * shape.kv_bytes * fleet.index_rate / (new * shape.index_operations)


def pass_seconds(batch: int, fixed: float, one: float, waits: float = 0.0) -> float:
    """A pass over ``batch`` sequences.

    Args:
        fixed: what a pass costs however many sequences it has: weights read, kernels launched.
        one: what each sequence adds.
        waits: of that sequence, what it waits for broadcasts.
    """
    return fixed + batch * (one + waits)


def gain(replicated: tuple[int, float], split: tuple[int, float]) -> float:
    """Throughput of the second over that of the first, less 1; each a batch and its seconds."""
    return (split[0] / split[1]) / (replicated[0] / replicated[1]) - 1
