"""The tokens of one attempt: as the engine counts them, or else estimated from the text."""

from detectors.token_estimate import TokenEstimate
from retry_proxy.engines.adapter import Cumulative


class TokenCount:
    """Turns cumulative counts into what is new.

    An engine that sent text without a count is taken not to count. If it tells a total at its end,
    that total is no chunk's news: it corrects the books, not the observations.
    """

    def __init__(self) -> None:
        self._told = Cumulative()
        self._estimate: TokenEstimate | None = None
        self._booked = 0

    @property
    def is_estimated(self) -> bool:
        """The engine does not count."""
        return self._estimate is not None

    def observe(
        self, text: str, completion: int | None, token_ids: tuple[int, ...] | None
    ) -> tuple[int | None, int]:
        """Reads one chunk.

        Returns:
            New tokens as the engine told them, ``None`` if it does not; and tokens for the books.
        """
        new_tokens = self._new_tokens(completion, token_ids)
        if self._estimate is None:
            if new_tokens is not None:
                return new_tokens, self._book(new_tokens)
            if not text or self._told.last > 0:
                return None, 0
            self._estimate = TokenEstimate()
        estimated = self._estimate.push(text)
        if completion is None:
            return None, self._book(estimated)
        return None, self._book(max(0, completion - self._booked))

    def estimate(self, text: str) -> int | None:
        """Tokens of a chunk that says this text and no count; ``None`` if the engine counts."""
        return None if self._estimate is None else self._book(self._estimate.push(text))

    def _new_tokens(self, completion: int | None, token_ids: tuple[int, ...] | None) -> int | None:
        if completion is not None:
            return self._told.new(completion)
        if token_ids is not None:
            self._told.last += len(token_ids)
            return len(token_ids)
        return None

    def _book(self, tokens: int) -> int:
        self._booked += tokens
        return tokens
