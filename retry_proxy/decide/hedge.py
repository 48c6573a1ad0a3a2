"""Whether and when a second replica is asked beside a slow first one. Pure."""

from collections import deque
from collections.abc import Iterable

from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.hedge_after import HedgeAfter
from retry_proxy.engines.call import GenerationCall, Route

_REMEMBERED = 512  # first-token times
_NEEDED = 50  # before a percentile says anything
_RENEWED_EVERY = 32
# The client, or a router before the proxy, has made room for this one run: a disaggregated pair's
# rendezvous, a session that lives on one replica.
_BOUND = ("bootstrap_room", "bootstrap_host", "session_params", "kv_transfer_params", "rid")
_IDEMPOTENCY = "idempotency-key"
# A byte sequence that only the first event with something of the answer has.
_FIRST_EVENT = {Route.MESSAGES: b"content_block_"}
_ANY_EVENT = b"data:"


class Hedging:
    """How long the last attempts took to their first token, and how many may be doubled.

    Args:
        share: of the requests that may have a second attempt beside the first.
    """

    def __init__(self, after: HedgeAfter, share: float) -> None:
        self._after = after
        # Remembered for long: where requests are rare a share of the last few would be none.
        self._budget = RetryBudget(ratio=share, min_per_second=0.0, memory_seconds=120.0)
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._unsorted = 0
        self._delay = after.seconds

    @property
    def delay_seconds(self) -> float | None:
        """How long to wait for a first token; ``None``: as long as it takes, too few are known."""
        return self._delay

    def note_request(self, now: float) -> None:
        """A request arrived."""
        self._budget.note_request(now)

    def can_spend(self, now: float) -> bool:
        """Whether one more may be doubled."""
        return self._budget.can_spend(now)

    def spend(self, now: float) -> None:
        """One was doubled."""
        self._budget.spend(now)

    def note_first_token(self, seconds: float) -> None:
        """A first token came after so long, or was no longer waited for."""
        self._recent.append(seconds)
        self._unsorted += 1
        percentile = self._after.percentile
        if percentile is None or len(self._recent) < _NEEDED:
            return
        if self._delay is None or self._unsorted >= _RENEWED_EVERY:
            self._unsorted = 0
            ranked = sorted(self._recent)
            self._delay = ranked[min(len(ranked) - 1, int(len(ranked) * percentile / 100))]


def is_safe_to_duplicate(call: GenerationCall, headers: Iterable[tuple[str, str]]) -> bool:
    """Nobody can tell that two replicas worked on it.

    Not so for Responses (engines store them, run their tools and are asked for them later), nor
    where the client names the run or says that it wants exactly one.
    """
    if call.route is Route.RESPONSES or any(call.body.get(name) is not None for name in _BOUND):
        return False
    return all(name != _IDEMPOTENCY for name, _ in headers)


def has_begun(route: Route, received: bytes) -> bool:
    """The answer itself has begun; comments that keep a connection alive are none of it."""
    return _FIRST_EVENT.get(route, _ANY_EVENT) in received
