"""Follows the copy of itself at the end of a sequence. Knows no tokens and no text."""

from detectors.repetition.alignment import (
    NEEDED_FOR_SHORT,
    SHORT_SPAN,
    count_equal,
    count_matched,
    count_unexplained,
    longest_repeat,
    shift_allowed,
    short_period,
)

PERIOD_MAX = 2_048
BLOCK_MAX = 16
WINDOW = PERIOD_MAX + BLOCK_MAX  # symbols kept

_SCORE_MAX = 64  # so many symbols without a copy end any near-repeat
_TRUSTED = 24  # a copy with a lower score ...
_KEPT_MIN = 5  # ... must go on in place with so many symbols of a block to be followed
_VARIETY_SPAN = 64
_VARIETY_EVERY = 32
_VARIETY_LOW = 26  # prose has 45 to 55 different symbols of 64, source code 30 to 45


class Cycle:
    """One candidate period.

    Attributes:
        tail: the latest symbols, at most ``WINDOW``.
        count: symbols seen.
        period: distance of the copy that is followed; 0 without one.
        matched: symbols at the end that all equal those one period before.
        span: symbols since the second copy began, changed ones included.
        changed: those among them that no copy explains.
        variety: different symbols among 64 (updated every 32); ``None`` before there are 72.
    """

    __slots__ = ("_score", "changed", "count", "matched", "period", "span", "tail", "variety")

    def __init__(self) -> None:
        self.tail = b""
        self.count = 0
        self.period = 0
        self.matched = 0
        self.span = 0
        self.changed = 0
        self.variety: int | None = None
        self._score = 0  # explained minus changed symbols; below zero the copy is let go

    def push(self, block: bytes) -> None:
        """Takes the next symbols, at most ``BLOCK_MAX``."""
        size = len(block)
        tail = self.tail = (self.tail + block)[-WINDOW:]
        seen = self.count
        self.count = seen + size
        if self.period and block == tail[-size - self.period : -self.period]:
            self.matched += size
            self.span += size
            self._score = min(self._score + size, _SCORE_MAX)
        else:
            self._revise(size)
        if self.count // _VARIETY_EVERY != seen // _VARIETY_EVERY:
            self._look_at_variety()

    def _revise(self, size: int) -> None:
        """Nothing was followed, or the copy changed: takes a better one, or counts the changes."""
        candidate, run = longest_repeat(self.tail)
        if candidate > PERIOD_MAX:
            candidate = run = 0
        if not self.period:
            if candidate:
                self._follow(candidate, run, run)
        elif run > max(self._score, self.matched + size) and (
            abs(candidate - self.period) > shift_allowed(self.period)
        ):
            self._follow(candidate, run, run)
        elif self._score < _TRUSTED and count_equal(self.tail, size, self.period) < _KEPT_MIN:
            self._let_go()  # a phrase that came twice
        else:
            self._count_changes(size)

    def _count_changes(self, size: int) -> None:
        changed, period = count_unexplained(
            self.tail, size, self.period, limit=(self._score + size) // 2
        )
        self._score = min(self._score + size - 2 * changed, _SCORE_MAX)
        if self._score < 0:
            self._let_go()
            return
        self.period = min(period, PERIOD_MAX)
        self.span += size
        self.changed += changed
        self.matched = count_matched(self.tail, self.period)

    def _let_go(self) -> None:
        self.period = self.matched = self.span = self.changed = self._score = 0

    def _follow(self, period: int, span: int, equal: int) -> None:
        self.period = period
        self.matched = count_matched(self.tail, period)
        self.span = span
        self.changed = span - equal
        self._score = min(2 * equal - span, _SCORE_MAX)

    def _look_at_variety(self) -> None:
        """Few different symbols and no copy worth following: tries every short period."""
        if len(self.tail) < NEEDED_FOR_SHORT:
            return
        self.variety = len(set(self.tail[-_VARIETY_SPAN:]))
        is_followed_well = self.period and 5 * self.changed < 2 * self.span
        if self.variety > _VARIETY_LOW or is_followed_well:
            return
        period, equal = short_period(self.tail)
        if period:
            self._follow(period, SHORT_SPAN, equal)
