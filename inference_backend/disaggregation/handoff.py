"""Who may touch a request's pages on the decode side, and until when. Pure: tables and counters.

Decode lends pages to a prefill, which writes into them one-sidedly. The question that matters is
when pages that were lent may be used for something else. Under ``unsafe`` decode decides alone, as
engines shipped it; under ``confirm`` only the prefill can say so, because only it knows its writes.
"""

import enum
from dataclasses import dataclass, replace


class AbortProtocol(enum.StrEnum):
    """What decode does with lent pages when it gives a request up."""

    UNSAFE = "unsafe"  # takes them back at once and tells nobody
    CONFIRM = "confirm"  # tells the prefill and waits for its answer, however long


class Loan(enum.StrEnum):
    """The decode side's pages of one request."""

    LENT = "lent"
    ARRIVED = "arrived"  # full; they are the sequence's own now
    STOPPING = "stopping"  # given up; the prefill has been told
    FREED = "freed"  # reusable
    RETIRED = "retired"  # never used again: nobody can say that no write is under way


class LoanEvent(enum.StrEnum):
    """What happens to a loan."""

    DONE = "done"  # prefill: everything has been written
    FAILED = "failed"  # prefill: it gave up, and no write is under way
    SAFE = "safe"  # prefill: the answer to an abort
    UNKNOWN = "unknown"  # prefill: a write ended badly; or the prefill is gone
    CANCEL = "cancel"  # the time budget is spent, or the client left


class LoanAction(enum.StrEnum):
    """What decode has to do."""

    USE = "use"
    GIVE_UP = "give_up"
    SEND_ABORT = "send_abort"
    FREE = "free"
    RETIRE = "retire"


LoanStep = tuple[Loan, tuple[LoanAction, ...]]
NOTHING: tuple[LoanAction, ...] = ()
_USE, _FREE, _RETIRE = (LoanAction.USE,), (LoanAction.FREE,), (LoanAction.RETIRE,)
_END, _LOSE = (LoanAction.GIVE_UP, *_FREE), (LoanAction.GIVE_UP, *_RETIRE)
_ASK = (LoanAction.GIVE_UP, LoanAction.SEND_ABORT)

CONFIRM: dict[tuple[Loan, LoanEvent], LoanStep] = {
    (Loan.LENT, LoanEvent.DONE): (Loan.ARRIVED, _USE),
    (Loan.LENT, LoanEvent.FAILED): (Loan.FREED, _END),
    (Loan.LENT, LoanEvent.SAFE): (Loan.LENT, NOTHING),  # nobody asked
    (Loan.LENT, LoanEvent.UNKNOWN): (Loan.RETIRED, _LOSE),
    (Loan.LENT, LoanEvent.CANCEL): (Loan.STOPPING, _ASK),
    (Loan.STOPPING, LoanEvent.DONE): (Loan.FREED, _FREE),  # it crossed the abort
    (Loan.STOPPING, LoanEvent.FAILED): (Loan.FREED, _FREE),
    (Loan.STOPPING, LoanEvent.SAFE): (Loan.FREED, _FREE),
    (Loan.STOPPING, LoanEvent.UNKNOWN): (Loan.RETIRED, _RETIRE),
    (Loan.STOPPING, LoanEvent.CANCEL): (Loan.STOPPING, NOTHING),
    # An answer is final: what comes later belongs to messages that crossed.
    **{
        ((loan), event): (loan, NOTHING)
        for loan in (Loan.ARRIVED, Loan.FREED, Loan.RETIRED)
        for event in LoanEvent
    },
}
UNSAFE: dict[tuple[Loan, LoanEvent], LoanStep] = {
    **CONFIRM,
    (Loan.LENT, LoanEvent.CANCEL): (Loan.FREED, _END),
    (Loan.LENT, LoanEvent.UNKNOWN): (Loan.FREED, _END),
}
TABLES = {AbortProtocol.CONFIRM: CONFIRM, AbortProtocol.UNSAFE: UNSAFE}


def step_loan(protocol: AbortProtocol, loan: Loan, event: LoanEvent) -> LoanStep:
    """The next state and what to do. Every cell exists."""
    return TABLES[protocol][loan, event]


class SendState(enum.StrEnum):
    """The prefill side of one request."""

    OPEN = "open"
    STOPPING = "stopping"  # nothing new is begun
    CLOSED = "closed"  # the last word has been said


class SendEvent(enum.StrEnum):
    """What happens to a sending."""

    BEGIN = "begin"  # a write wants to begin
    END = "end"  # a write is complete
    BREAK = "break"  # a write ended, and nobody knows how
    COMPUTED = "computed"  # no further write will be wanted
    ABORT = "abort"  # decode asked to stop
    CANCEL = "cancel"  # the prefill's own request ended early
    LOST = "lost"  # decode is gone: nobody is there to be told


class SendAction(enum.StrEnum):
    """What the prefill has to do."""

    WRITE = "write"
    DROP = "drop"
    STOP_COMPUTING = "stop_computing"
    SAY_DONE = "say_done"
    SAY_SAFE = "say_safe"
    SAY_FAILED = "say_failed"
    SAY_UNKNOWN = "say_unknown"


@dataclass(frozen=True, slots=True)
class Sending:
    """What the prefill knows of its writes for one request.

    Attributes:
        in_flight: writes that have begun and not ended.
        is_computed: the whole prompt is.
        last_word: what decode is told once nothing is in flight; ``None``: nothing.
    """

    state: SendState = SendState.OPEN
    in_flight: int = 0
    is_computed: bool = False
    last_word: SendAction | None = None


def step_sending(sending: Sending, event: SendEvent) -> tuple[Sending, tuple[SendAction, ...]]:
    """The next state and what to do.

    A last word is only ever said when no write is in flight; after it nothing is written.
    """
    if event is SendEvent.BEGIN:
        if sending.state is not SendState.OPEN:
            return sending, (SendAction.DROP,)
        return replace(sending, in_flight=sending.in_flight + 1), (SendAction.WRITE,)
    if event in (SendEvent.END, SendEvent.BREAK):
        assert sending.in_flight > 0, "a write ended that had not begun"
        sending = replace(sending, in_flight=sending.in_flight - 1)
    if sending.state is SendState.CLOSED:
        return sending, ()
    sending, actions = _take(sending, event)
    return _close(sending, actions)


def _take(sending: Sending, event: SendEvent) -> tuple[Sending, tuple[SendAction, ...]]:
    stop = (SendAction.STOP_COMPUTING,) if sending.state is SendState.OPEN else ()
    match event:
        case SendEvent.BREAK:
            return _stopping(sending, SendAction.SAY_UNKNOWN), stop
        case SendEvent.COMPUTED:
            return replace(sending, is_computed=True), ()
        case SendEvent.ABORT:
            return _stopping(sending, SendAction.SAY_SAFE), stop
        case SendEvent.CANCEL:
            return _stopping(sending, SendAction.SAY_FAILED), stop
        case SendEvent.LOST:
            return replace(sending, state=SendState.STOPPING, last_word=None), stop
    return sending, ()


def _stopping(sending: Sending, word: SendAction) -> Sending:
    """Once a write has ended badly nothing better can be said."""
    if sending.last_word is SendAction.SAY_UNKNOWN:
        word = sending.last_word
    return replace(sending, state=SendState.STOPPING, last_word=word)


def _close(
    sending: Sending, actions: tuple[SendAction, ...]
) -> tuple[Sending, tuple[SendAction, ...]]:
    if sending.in_flight:
        return sending, actions
    if sending.state is SendState.STOPPING:
        word = () if sending.last_word is None else (sending.last_word,)
        return replace(sending, state=SendState.CLOSED), (*actions, *word)
    if sending.is_computed:
        return replace(sending, state=SendState.CLOSED), (*actions, SendAction.SAY_DONE)
    return sending, actions
