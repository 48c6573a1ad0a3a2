"""Rare token ids: byte-pair vocabularies number their tokens by frequency."""

from collections.abc import Sequence

SURGE_TOKENS = 32
SETTLED_TOKENS = 256


class TokenRank:
    """Mean bit length of the last ids, less the stream's own earlier mean."""

    __slots__ = ("_bits", "_earlier", "_recent", "_seen", "_taken")

    def __init__(self) -> None:
        self._bits = 0  # taken, not yet settled
        self._taken = 0
        self._seen = 0
        self._recent = 0.0
        self._earlier = 0.0

    @property
    def surge(self) -> float:
        """In bits: above 0 the tokens became rarer. 0 until there is something to compare."""
        return self._recent - self._earlier if self._seen > SURGE_TOKENS else 0.0

    def take(self, token_ids: Sequence[int]) -> None:
        self._bits += sum(map(int.bit_length, token_ids))
        self._taken += len(token_ids)

    def settle(self) -> None:
        """Moves what was taken into the two means."""
        taken = self._taken
        if taken == 0:
            return
        mean = self._bits / taken
        self._seen += taken
        self._recent += (mean - self._recent) * min(taken / min(self._seen, SURGE_TOKENS), 1.0)
        self._earlier += (mean - self._earlier) * min(taken / min(self._seen, SETTLED_TOKENS), 1.0)
        self._bits = self._taken = 0
