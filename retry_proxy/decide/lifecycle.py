"""Life cycle of one request, as a table. A missing cell is a bug and raises."""

import enum


class RequestState(enum.Enum):
    """Where a request is."""

    WAITING = "waiting"  # no attempt dispatched yet
    RUNNING = "running"  # an attempt runs, the client has nothing
    RELEASING = "releasing"  # an attempt runs, the client has text
    RETRYING = "retrying"  # between attempts, the client has nothing
    RESUMING = "resuming"  # between attempts, the client has text
    ANSWERED = "answered"  # the client has its whole answer
    REFUSED = "refused"  # the client got a real HTTP status of an error
    BROKEN = "broken"  # the client got text and then an in-band error
    ABANDONED = "abandoned"  # the client left


class RequestEvent(enum.Enum):
    """What happens to it."""

    DISPATCH = "dispatch"  # an attempt is sent to a replica
    RELEASE = "release"  # text goes to the client
    STOP = "stop"  # the attempt ended without an answer, another one follows
    COMPLETE = "complete"
    FAIL = "fail"
    LEAVE = "leave"  # the client disconnected


class LifecycleError(Exception):
    """The event cannot happen in this state: a bug of ours."""


_S, _E = RequestState, RequestEvent

TABLE: dict[RequestState, dict[RequestEvent, RequestState]] = {
    _S.WAITING: {_E.DISPATCH: _S.RUNNING, _E.FAIL: _S.REFUSED, _E.LEAVE: _S.ABANDONED},
    _S.RUNNING: {
        _E.RELEASE: _S.RELEASING,
        _E.STOP: _S.RETRYING,
        _E.COMPLETE: _S.ANSWERED,
        _E.FAIL: _S.REFUSED,
        _E.LEAVE: _S.ABANDONED,
    },
    _S.RELEASING: {
        _E.RELEASE: _S.RELEASING,
        _E.STOP: _S.RESUMING,
        _E.COMPLETE: _S.ANSWERED,
        _E.FAIL: _S.BROKEN,
        _E.LEAVE: _S.ABANDONED,
    },
    _S.RETRYING: {_E.DISPATCH: _S.RUNNING, _E.FAIL: _S.REFUSED, _E.LEAVE: _S.ABANDONED},
    _S.RESUMING: {_E.DISPATCH: _S.RELEASING, _E.FAIL: _S.BROKEN, _E.LEAVE: _S.ABANDONED},
    _S.ANSWERED: {},
    _S.REFUSED: {},
    _S.BROKEN: {},
    _S.ABANDONED: {},
}


def advance(state: RequestState, event: RequestEvent) -> RequestState:
    """The next state.

    Raises:
        LifecycleError: the table has no such cell.
    """
    try:
        return TABLE[state][event]
    except KeyError:
        raise LifecycleError(f"{event.value} cannot happen while {state.value}") from None


def has_released(state: RequestState) -> bool:
    """The client has text that cannot be taken back."""
    return state in (RequestState.RELEASING, RequestState.RESUMING)


def is_over(state: RequestState) -> bool:
    """No event can follow."""
    return not TABLE[state]
