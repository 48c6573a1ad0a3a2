"""When received text goes on to the client. Pure."""

from dataclasses import dataclass

from retry_proxy.config import ReleaseMode
from retry_proxy.decide.hold_bounds import HoldBounds


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """One of the three policies.

    Attributes:
        hold_first_tokens: ``adaptive`` holds an answer until it has so many tokens.
        onset_margin_tokens: the estimated onset is uncertain; so many tokens before it are dropped
            too.
        bounds: of what is held; ``None`` for a body that goes out as one.
    """

    mode: ReleaseMode
    hold_first_tokens: int = 0
    onset_margin_tokens: int = 0
    bounds: HoldBounds | None = None

    def can_release(self, *, is_watching: bool, tokens: int, is_complete: bool) -> bool:
        """Whether everything received so far may go on.

        Args:
            is_watching: a detector's statistic is past its watch level.
            tokens: tokens of the answer so far.
            is_complete: the attempt is over and good, or is being let through.
        """
        if is_complete or self.mode is ReleaseMode.LIVE:
            return True
        if self.mode is ReleaseMode.BUFFER:
            return False
        return not is_watching and tokens >= self.hold_first_tokens

    def last_good_token(self, onset_token: int) -> int:
        """Tokens of the stopped attempt that are kept, if they were still held."""
        return max(0, onset_token - self.onset_margin_tokens)
