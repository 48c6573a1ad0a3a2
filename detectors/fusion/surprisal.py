"""How much less likely a stream's recent tokens are than its earlier ones, where the engine sends
log-probabilities."""

_RECENT_SHARE = 1 / 12  # of an exponential mean: about the last 12 tokens
_NEEDED_TOKENS = 24


class Surprisal:
    """Recent mean of -log p against the stream's own mean so far, in nats a token."""

    __slots__ = ("_count", "_recent", "_total")

    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0
        self._recent = 0.0

    @property
    def surge(self) -> float:
        """0 until enough tokens were seen, or where there are no log-probabilities."""
        if self._count < _NEEDED_TOKENS:
            return 0.0
        return self._recent - self._total / self._count

    def update(self, logprobs: tuple[float, ...]) -> None:
        """Takes the log-probabilities of the new tokens; -inf and NaN count as 20 nats."""
        for logprob in logprobs:
            cost = -logprob if logprob > -20.0 else 20.0
            self._count += 1
            self._total += cost
            self._recent += (cost - self._recent) * _RECENT_SHARE
