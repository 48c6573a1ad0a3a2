"""A trace as it may leave the house: it does not say when, who, or with which model. Pure."""

from collections.abc import Iterator, Sequence

from monitor.traffic.trace import Line, TraceRequest


def anonymised(requests: Sequence[TraceRequest]) -> Iterator[Line]:
    """The same traffic with times from 0 and blocks numbered as they first occur.

    Kept are arrival, lengths, prefix structure, sampling settings and outcome: all of them numbers
    or words of ours. The numbers of the blocks tell nothing of a salt.
    """
    numbers: dict[int, int] = {}
    for request in requests:
        told = request.record
        yield Line(
            timestamp=round(request.at_seconds * 1000),
            input_length=request.input_tokens,
            output_length=request.output_tokens,
            hash_ids=[numbers.setdefault(block, len(numbers)) for block in request.blocks],
            block_tokens=request.block_tokens,
            sampling=dict(request.sampling),
            is_streaming=None if told is None else told.is_streaming,
            outcome=None if told is None else _ours(told.outcome, _OUTCOMES),
            verdict=None if told is None else _ours(told.verdict, _VERDICTS),
            attempts=None if told is None else told.attempts,
        )


def _ours(word: str | None, words: frozenset[str]) -> str | None:
    """A word from a file, only if it is one that specwatch writes."""
    return word if word in words else None


_OUTCOMES = frozenset({"clean", "retried_clean", "marked", "error", "rejected", "client_gone"})
_VERDICTS = frozenset({"garbled", "repetition", "rare_char"})
