"""Streaming check whether the tail of a sequence repeats itself.

Knows symbols, not tokens or text.
"""

from collections import deque


class RepetitionCheck:
    """Finds an exact cycle at the end of a sequence, amortised O(1) per symbol.

    The last ``ngram`` symbols are looked up among the last ``window`` positions; the distance to
    their most recent occurrence is a candidate period, which then must hold symbol by symbol. The
    tail is periodic when it spans at least ``min_span`` symbols and ``min_copies`` copies of the
    period.

    Args:
        ngram: symbols that must match before a period is tried.
        window: longest period that can be found; bounds the memory.
        min_span: shortest repeating tail, first copy included, in symbols.
        min_copies: copies of the period in the tail, first copy included.
    """

    def __init__(self, *, ngram: int, window: int, min_span: int, min_copies: float) -> None:
        self._ngram = ngram
        self._size = window
        self._min_span = min_span
        self._min_copies = min_copies
        self._symbols = [0] * window  # ring: position p is at p % window
        self._keys: list[tuple[int, ...] | None] = [
            None
        ] * window  # n-gram that ends at that position
        self._last_seen: dict[tuple[int, ...], int] = {}  # n-gram -> last position of its end
        self._recent: deque[int] = deque(maxlen=ngram)
        self._count = 0
        self._period: int | None = None
        self._matched = 0  # symbols so far equal to the one a period before
        self._start = 0  # position of the first of them

    @property
    def period(self) -> int | None:
        """Candidate period in symbols, ``None`` if the tail matches nothing."""
        return self._period

    @property
    def start(self) -> int | None:
        """Position where the second copy began, ``None`` without a candidate period."""
        return self._start if self._period is not None else None

    @property
    def is_periodic(self) -> bool:
        """The tail is long enough and has enough copies."""
        if self._period is None:
            return False
        span = self._matched + self._period
        return span >= self._min_span and span >= self._min_copies * self._period

    def push(self, symbol: int) -> None:
        """Takes the next symbol."""
        position = self._count
        self._count += 1
        if self._period is not None:
            if self._symbols[(position - self._period) % self._size] == symbol:
                self._matched += 1
            else:
                self._period = None
        self._symbols[position % self._size] = symbol
        self._recent.append(symbol)
        if len(self._recent) == self._ngram:
            self._remember(position)

    def _remember(self, position: int) -> None:
        key = tuple(self._recent)
        slot = position % self._size
        leaving = self._keys[slot]
        if leaving is not None and self._last_seen.get(leaving) == position - self._size:
            del self._last_seen[leaving]
        previous = self._last_seen.get(key)
        if self._period is None and previous is not None:
            self._period = position - previous
            self._matched = self._ngram
            self._start = position - self._ngram + 1
        self._keys[slot] = key
        self._last_seen[key] = position


def token_repetition() -> RepetitionCheck:
    """Check over token ids: 3 copies that span 32 tokens, periods to 1,024."""
    return RepetitionCheck(ngram=4, window=1024, min_span=32, min_copies=3)


def text_repetition() -> RepetitionCheck:
    """Check over characters: 3 copies that span 96 characters, periods to 4,096."""
    return RepetitionCheck(ngram=12, window=4096, min_span=96, min_copies=3)
