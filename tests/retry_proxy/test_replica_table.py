"""The life cycle of a replica, every cell of it."""

import itertools

import pytest

from retry_proxy.events import ReplicaState
from retry_proxy.fleet.replica import TABLE, ReplicaEvent, next_state

S, E = ReplicaState, ReplicaEvent

# Nobody is left alone, so no pause can be over; nobody is on trial, so nothing can be proved.
ILLEGAL = {
    (S.HEALTHY, E.PAUSE_OVER),
    (S.HEALTHY, E.PROVED),
    (S.UNREACHABLE, E.TRIP),
    (S.UNREACHABLE, E.PAUSE_OVER),
    (S.UNREACHABLE, E.PROVED),
    (S.TRIPPED, E.TRIP),
    (S.TRIPPED, E.PROVED),
    (S.QUARANTINED, E.TRIP),
    (S.QUARANTINED, E.PROVED),
    (S.PROBING, E.PAUSE_OVER),
    (S.DRAINING, E.TRIP),
    (S.DRAINING, E.PAUSE_OVER),
    (S.DRAINING, E.PROVED),
}


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(S, E)), ids=lambda cell: cell.value
)
def test_every_cell(state: ReplicaState, event: ReplicaEvent) -> None:
    if (state, event) in ILLEGAL:
        with pytest.raises(KeyError):
            next_state(state, event)
    else:
        assert next_state(state, event) is TABLE[state][event]


def test_the_operator_can_take_out_and_let_in_from_every_state() -> None:
    for state in S:
        assert next_state(state, E.DRAIN) is S.DRAINING
        assert next_state(state, E.QUARANTINE) is S.QUARANTINED
        assert next_state(state, E.RELEASE) in (S.HEALTHY, S.UNREACHABLE)


def test_an_answer_alone_brings_back_only_what_refused() -> None:
    back = {state for state in S if next_state(state, E.ANSWERED) is S.HEALTHY}
    assert back == {S.HEALTHY, S.UNREACHABLE}
