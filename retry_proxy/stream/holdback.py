"""What of an answer the client has, and what is held. Explicit state; decides nothing."""

from retry_proxy.decide.hold_bounds import HoldBounds
from retry_proxy.engines.adapter import Piece, Prefix

_MOST_PARTS = 64  # of the text, before they are joined


class HoldBack:
    """Received pieces of a request, in order: released ones (counted), then held ones.

    Token indices are those of the current attempt. Released text is never taken back.
    """

    def __init__(self) -> None:
        self.held: list[Piece] = []
        self._held_at: list[float] = []  # beside each piece, when it came
        self._held_tokens = 0
        self._held_bytes = 0
        self._held_since: float | None = None
        self.longest_hold_seconds = 0.0  # of text that then went to the client
        # the answer so far, over all attempts
        self._text: list[str] = []
        self._recent_text: list[str] = []  # what comes after it
        self._token_ids: list[int] | None = []
        self._text_tokens = 0  # released tokens up to the last one with text
        self._prompt_token_ids: tuple[int, ...] | None = None
        self.released_tokens = 0
        self.is_continuable = True
        self.has_output = False
        self.has_estimates = False  # the engine did not count what was released
        # the current attempt
        self.attempt_released_tokens = 0
        self.attempt_tokens = 0
        self.most_held_tokens = 0
        self.most_held_bytes = 0
        self._attempt_longest_hold = 0.0
        self.last_release_at: float | None = None  # when the client last got text

    def start_attempt(self) -> None:
        """A new attempt begins after :meth:`prefix`; what the last one left held must have been
        cut.
        """
        assert not self.held, "held pieces of an earlier attempt"
        self.released_tokens = self._text_tokens
        if self._token_ids is not None:
            del self._token_ids[self._text_tokens :]
        self.attempt_released_tokens = 0
        self.attempt_tokens = 0
        self.most_held_tokens = self.most_held_bytes = 0
        self._attempt_longest_hold = 0.0

    def attempt_hold_seconds(self, now: float) -> float:
        """Longest time that text of this attempt was held, a hold that still lasts included."""
        current = 0.0 if self._held_since is None else now - self._held_since
        return max(self._attempt_longest_hold, current)

    @property
    def answer_tokens(self) -> int:
        """Tokens of the answer so far, held ones included."""
        return self.released_tokens + self.attempt_tokens - self.attempt_released_tokens

    @property
    def has_held_output(self) -> bool:
        """Something that the client would see is held."""
        return any(piece.has_output for piece in self.held)

    def prefix(self) -> Prefix:
        """What a continuation starts from.

        It ends with text: the text of later tokens was held back by the engine (half a character,
        the start of a stop string), and a continuation from their ids would lose it.
        """
        ids = self._token_ids
        return Prefix(
            text="".join(self._text) + "".join(self._recent_text),
            tokens=self._text_tokens,
            token_ids=None if ids is None else tuple(ids[: self._text_tokens]),
            prompt_token_ids=self._prompt_token_ids,
        )

    def hold(self, piece: Piece, now: float) -> None:
        """Takes the next piece."""
        if self.held:
            self._shed_last()
        self.held.append(piece)
        self._held_at.append(now)
        self._held_tokens += piece.tokens
        self._held_bytes += len(piece.raw)
        self.most_held_tokens = max(self.most_held_tokens, self._held_tokens)
        self.most_held_bytes = max(self.most_held_bytes, self._held_bytes)
        self.attempt_tokens += piece.tokens
        if self._held_since is None and piece.has_output:
            self._held_since = now

    def pass_on(self, text: str, tokens: int, now: float) -> None:
        """Counts a plain event (``Piece.is_plain``) that went to the client at once."""
        self._add_text(text)
        self.attempt_tokens += tokens
        self.attempt_released_tokens += tokens
        self.released_tokens += tokens
        self._text_tokens = self.released_tokens
        self._token_ids = None
        self.has_output = self.has_estimates = True
        self.last_release_at = now

    def release(self, now: float) -> list[Piece]:
        """Releases everything held, in order."""
        pieces = self.held
        self._forget_held()
        return self._released(pieces, now)

    def release_over(self, bounds: HoldBounds, now: float) -> list[Piece]:
        """Releases what is held over the bounds, the oldest first."""
        tokens, size, count = self._held_tokens, self._held_bytes, 0
        for piece, held_at in zip(self.held, self._held_at, strict=True):
            is_within = tokens <= bounds.tokens and size <= bounds.size
            if is_within and now - held_at <= bounds.seconds:
                break
            tokens -= piece.tokens
            size -= len(piece.raw)
            count += 1
        if count == 0:
            return []
        pieces = self._released(self._take_first(count), now)
        left = zip(self.held, self._held_at, strict=True)
        self._held_since = next((at for piece, at in left if piece.has_output), None)
        return pieces

    def cut(self, keep_tokens: int, now: float) -> list[Piece]:
        """Releases the held pieces within the attempt's first ``keep_tokens`` tokens, drops the
        others.

        The last kept piece is one with text (see :meth:`prefix`).
        """
        end = self.attempt_released_tokens
        kept = 0
        for index, piece in enumerate(self.held):
            end += piece.tokens
            if end > keep_tokens or piece.is_finish or not piece.is_continuable:
                break
            if piece.text:
                kept = index + 1
        pieces = self._take_first(kept)
        self._forget_held()
        return self._released(pieces, now)

    def drop(self, now: float) -> None:
        """Drops everything held."""
        self._forget_held()
        self._end_hold(now, is_delivered=False)

    def _shed_last(self) -> None:
        last = self.held[-1]
        before = len(last.raw)
        last.shed()
        self._held_bytes -= before - len(last.raw)

    def _take_first(self, count: int) -> list[Piece]:
        pieces = self.held[:count]
        del self.held[:count]
        del self._held_at[:count]
        for piece in pieces:
            self._held_tokens -= piece.tokens
            self._held_bytes -= len(piece.raw)
        return pieces

    def _forget_held(self) -> None:
        self.held = []
        self._held_at = []
        self._held_tokens = self._held_bytes = 0

    def _released(self, pieces: list[Piece], now: float) -> list[Piece]:
        for piece in pieces:
            self._count_released(piece)
            if piece.has_output:
                self.last_release_at = now
        self._end_hold(now, is_delivered=bool(pieces))
        return pieces

    def _count_released(self, piece: Piece) -> None:
        if self.released_tokens == 0 and piece.prompt_token_ids is not None:
            self._prompt_token_ids = piece.prompt_token_ids  # later ones hold the prefix as well
        if piece.text:
            self._add_text(piece.text)
        self.released_tokens += piece.tokens
        if piece.text:
            self._text_tokens = self.released_tokens
        self.attempt_released_tokens += piece.tokens
        self.is_continuable = self.is_continuable and piece.is_continuable
        self.has_output = self.has_output or piece.has_output
        self.has_estimates = self.has_estimates or piece.is_estimated
        if self._token_ids is None or piece.tokens == 0:
            return
        if piece.token_ids is None or len(piece.token_ids) != piece.tokens:
            self._token_ids = None  # some are unknown: only text can be continued from
        else:
            self._token_ids.extend(piece.token_ids)

    def _add_text(self, text: str) -> None:
        """Joined from time to time: many small strings take fifty bytes each."""
        parts = self._recent_text
        parts.append(text)
        if len(parts) > _MOST_PARTS:
            self._text.append("".join(parts))
            parts.clear()

    def _end_hold(self, now: float, *, is_delivered: bool) -> None:
        """A hold that ended in a drop delayed no delivered text: it counts as lost time instead."""
        if self._held_since is not None:
            held_seconds = now - self._held_since
            self._attempt_longest_hold = max(self._attempt_longest_hold, held_seconds)
            if is_delivered:
                self.longest_hold_seconds = max(self.longest_hold_seconds, held_seconds)
        self._held_since = None
