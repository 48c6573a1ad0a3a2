"""The decode side: lends pages to a prefill and waits for them. The engine's thread only."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inference_backend.disaggregation.handoff import (
    AbortProtocol,
    Loan,
    LoanAction,
    LoanEvent,
    step_loan,
)
from inference_backend.disaggregation.messages import Abort, Offer
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.lease import Lease, PageCache

log = logging.getLogger(__name__)

Send = Callable[[Sequence, Offer | Abort], None]
"""Sends to the prefill of a sequence; never waits."""


@dataclass(slots=True)
class _Lent:
    sequence: Sequence
    lease: Lease
    end: int
    loan: Loan = Loan.LENT
    is_tainted: bool = False


@dataclass(slots=True)
class ReceiverTotals:
    """Since the start, for metrics."""

    arrived: int = 0
    given_up: int = 0
    retired_pages: int = 0


class Receiver:
    """Owns the loans of one decode engine.

    Args:
        on_arrived: the sequence's pages are full; it may be computed. True: the prefill computed
            them from wrong cache.
        on_failed: the sequence has lost its prefill, for the reason given.
    """

    def __init__(
        self,
        cache: PageCache,
        protocol: AbortProtocol,
        send: Send,
        on_arrived: Callable[[Sequence, bool], None],
        on_failed: Callable[[Sequence, str], None],
    ) -> None:
        self._cache, self.protocol, self._send = cache, protocol, send
        self._on_arrived, self._on_failed = on_arrived, on_failed
        self._lent: dict[int, _Lent] = {}
        self.totals = ReceiverTotals()

    def __len__(self) -> int:
        """Loans whose pages are not back, given-up ones included."""
        return len(self._lent)

    def pending(self, sequence: Sequence) -> Iterable[int]:
        """Places whose pages are on their way."""
        lent = self._lent_to(sequence)
        if lent is None or lent.lease is not sequence.lease:
            return ()
        return range(lent.lease.reused, lent.end)

    def lend(self, sequence: Sequence, lease: Lease) -> None:
        """Offers all full pages of the prompt that were not found here.

        The last token's page stays: the decode side computes at least that token itself. A room
        that another request has is refused.
        """
        end = (len(sequence.tokens) - 1) // self._cache.page_size
        room = sequence.request.room
        assert room is not None
        if room in self._lent:  # the client's choice of a number must not cost the other's pages
            sequence.lease = None
            self._cache.close(lease)
            self._on_failed(sequence, f"another request has bootstrap_room {room}")
            return
        lent = _Lent(sequence, lease, max(end, lease.reused))
        places = slice(lease.reused, lent.end)
        offer = Offer(
            room=room, first=lease.reused, pages=lease.pages[places], epochs=lease.epochs[places]
        )
        self._lent[room] = lent
        self._send(sequence, offer)
        if not offer.pages:  # found here already: nothing is written, nobody has to be waited for
            self.on_event(room, LoanEvent.DONE)

    def request_over(self, sequence: Sequence, abort_message: str | None) -> None:
        """See ``engine.partner.Partner``."""
        if self._lent_to(sequence) is not None:
            assert sequence.request.room is not None
            self.on_event(sequence.request.room, LoanEvent.CANCEL, abort_message or "")

    def _lent_to(self, sequence: Sequence) -> _Lent | None:
        room = sequence.request.room
        lent = None if room is None else self._lent.get(room)
        return lent if lent is not None and lent.sequence is sequence else None

    def on_event(
        self, room: int, event: LoanEvent, message: str = "", *, is_tainted: bool = False
    ) -> None:
        """A report of the prefill, or a decision of our own. An unknown room is none of ours."""
        lent = self._lent.get(room)
        if lent is None:
            return
        lent.is_tainted = is_tainted
        lent.loan, actions = step_loan(self.protocol, lent.loan, event)
        if lent.loan in (Loan.ARRIVED, Loan.FREED, Loan.RETIRED):
            del self._lent[room]
        for action in actions:
            self._act(lent, action, message)

    def _act(self, lent: _Lent, action: LoanAction, message: str) -> None:
        sequence, lease = lent.sequence, lent.lease
        match action:
            case LoanAction.USE:
                self.totals.arrived += 1
                sequence.num_computed = lent.end * self._cache.page_size
                self._cache.publish(lease, sequence.tokens, sequence.num_computed)
                self._on_arrived(sequence, lent.is_tainted)
            case LoanAction.GIVE_UP:
                self.totals.given_up += 1
                sequence.lease = None
                self._on_failed(sequence, message)
            case LoanAction.SEND_ABORT:
                assert sequence.request.room is not None
                self._send(sequence, Abort(room=sequence.request.room))
            case LoanAction.FREE:
                self._cache.close(lease)
            case LoanAction.RETIRE:
                self._retire(lease, lent.end)

    def _retire(self, lease: Lease, end: int) -> None:
        """Pages that may still be written to are kept out of circulation for good."""
        lost = end - lease.reused
        self.totals.retired_pages += lost
        log.error("%d KV pages are retired: their prefill is gone and may have been writing", lost)
        self._cache.close_retiring(lease, lease.reused, end)
