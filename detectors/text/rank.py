"""Rare token ids: byte-pair vocabularies number their tokens by frequency."""

from collections.abc import Sequence

SURGE_TOKENS = 32
SETTLED_TOKENS = 256


class TokenRank:
    """Mean bit length of the last ids, less the stream's own earlier mean."""

    __slots__ = ("_earlier", "_recent", "_seen")

    def __init__(self) -> None:
        self._seen = 0
        self._recent = 0.0
        self._earlier = 0.0

    @property
    def surge(self) -> float:
        """In bits: above 0 the tokens became rarer. 0 until there is something to compare."""
        return self._recent - self._earlier if self._seen > SURGE_TOKENS else 0.0

    def read(self, token_ids: Sequence[int]) -> None:
        taken = len(token_ids)
        mean = sum(map(int.bit_length, token_ids)) / taken
        self._seen += taken
        self._recent += (mean - self._recent) * min(taken / min(self._seen, SURGE_TOKENS), 1.0)
        self._earlier += (mean - self._earlier) * min(taken / min(self._seen, SETTLED_TOKENS), 1.0)
