"""Every interleaving of a small hand-off: two requests, one page, two layers, one connection.

The tables of both sides are run against each other with messages, writes and a lost connection in
every order. Under ``confirm`` no page is ever reused with a write in flight; under ``unsafe`` the
search finds how it happens.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from inference_backend.disaggregation.handoff import (
    CONFIRM,
    UNSAFE,
    AbortProtocol,
    Loan,
    LoanAction,
    LoanEvent,
    SendAction,
    SendEvent,
    Sending,
    SendState,
    step_loan,
    step_sending,
)

ROOMS, LAYERS = (0, 1), 2
SAID = {
    SendAction.SAY_DONE: LoanEvent.DONE,
    SendAction.SAY_SAFE: LoanEvent.SAFE,
    SendAction.SAY_FAILED: LoanEvent.FAILED,
    SendAction.SAY_UNKNOWN: LoanEvent.UNKNOWN,
}
RETIRED = -1


@dataclass(frozen=True)
class Prefill:
    """One request on the prefill's side.

    ``landed`` counts the layers whose write has ended in the page.
    """

    sending: Sending
    to_compute: int = LAYERS
    queued: int = 0
    landed: int = 0


@dataclass(frozen=True)
class World:
    """All of it. ``owner``: the room that the page belongs to, ``None`` if it is free."""

    owner: int | None = None
    loans: tuple[Loan | None, ...] = (None,) * len(ROOMS)
    prefills: tuple[Prefill | None, ...] = (None,) * len(ROOMS)
    to_prefill: tuple[tuple[str, int], ...] = ()
    to_decode: tuple[tuple[LoanEvent, int], ...] = ()
    is_connected: bool = True


@dataclass(frozen=True)
class Limits:
    """What may go wrong."""

    protocol: AbortProtocol
    may_lose: bool = False
    may_break: bool = False
    answers_early: bool = False  # the prefill says "safe" without waiting for its writes


def moves(world: World, limits: Limits) -> Iterator[tuple[str, World]]:
    yield from decode_moves(world, limits)
    for room, prefill in enumerate(world.prefills):
        if prefill is not None:
            for name, after in prefill_moves(world, room, prefill, limits):
                yield f"{name} {room}", after
    if limits.may_lose and world.is_connected:
        yield "connection lost", lose(world, limits)


def decode_moves(world: World, limits: Limits) -> Iterator[tuple[str, World]]:
    for room in ROOMS:
        loan = world.loans[room]
        if loan is None and world.owner is None and world.is_connected:
            lent = replace(world, owner=room, loans=put(world.loans, room, Loan.LENT))
            yield f"lend {room}", replace(lent, to_prefill=(*world.to_prefill, ("offer", room)))
        if loan is Loan.LENT:
            yield f"cancel {room}", at_decode(world, room, LoanEvent.CANCEL, limits)
        if loan is Loan.ARRIVED and world.owner == room:
            yield f"finish {room}", replace(world, owner=None)
    if world.to_decode:
        (event, room), *rest = world.to_decode
        taken = replace(world, to_decode=tuple(rest))
        yield f"{event} arrives {room}", at_decode(taken, room, event, limits)
    if world.to_prefill:
        (what, room), *others = world.to_prefill
        taken = replace(world, to_prefill=tuple(others))
        yield f"{what} arrives {room}", at_prefill(taken, what, room, limits)


def at_decode(world: World, room: int, event: LoanEvent, limits: Limits) -> World:
    loan = world.loans[room]
    if loan is None:
        return world
    loan, actions = step_loan(limits.protocol, loan, event)
    world = replace(world, loans=put(world.loans, room, loan))
    if LoanAction.FREE in actions:
        assert world.owner == room, "freed twice"
        world = replace(world, owner=None)
    if LoanAction.RETIRE in actions:
        world = replace(world, owner=RETIRED)
    if LoanAction.SEND_ABORT in actions and world.is_connected:
        world = replace(world, to_prefill=(*world.to_prefill, ("abort", room)))
    return world


def at_prefill(world: World, what: str, room: int, limits: Limits) -> World:
    prefill = world.prefills[room]
    if what == "offer":
        return replace(world, prefills=put(world.prefills, room, Prefill(Sending())))
    if prefill is None:
        return say(world, room, SendAction.SAY_SAFE)
    if limits.answers_early:
        world = say(world, room, SendAction.SAY_SAFE)
    return sent(world, room, prefill, SendEvent.ABORT)


def prefill_moves(
    world: World, room: int, prefill: Prefill, limits: Limits
) -> Iterator[tuple[str, World]]:
    if prefill.to_compute and prefill.sending.state is SendState.OPEN:
        computed = replace(prefill, to_compute=prefill.to_compute - 1, queued=prefill.queued + 1)
        yield "compute", replace(world, prefills=put(world.prefills, room, computed))
    if prefill.queued and not prefill.sending.in_flight:
        begun = replace(prefill, queued=prefill.queued - 1)
        yield "begin", sent(world, room, begun, SendEvent.BEGIN)
    if prefill.sending.in_flight:
        landed = replace(prefill, landed=prefill.landed + 1)
        yield "end", sent(world, room, landed, SendEvent.END)
        if limits.may_break:
            yield "break", sent(world, room, prefill, SendEvent.BREAK)
    is_drained = not (prefill.to_compute or prefill.queued or prefill.sending.in_flight)
    if is_drained and not prefill.sending.is_computed:
        yield "computed", sent(world, room, prefill, SendEvent.COMPUTED)
    if prefill.sending.state is SendState.OPEN:
        yield "prefill cancels", sent(world, room, prefill, SendEvent.CANCEL)


def sent(world: World, room: int, prefill: Prefill, event: SendEvent) -> World:
    sending, actions = step_sending(prefill.sending, event)
    after = replace(prefill, sending=sending)
    world = replace(world, prefills=put(world.prefills, room, after))
    for action in actions:
        world = say(world, room, action)
    return world


def say(world: World, room: int, action: SendAction) -> World:
    if action not in SAID or not world.is_connected:
        return world
    return replace(world, to_decode=(*world.to_decode, (SAID[action], room)))


def lose(world: World, limits: Limits) -> World:
    """Both sides notice; what was under way on the connection is gone. Writes are not."""
    world = replace(world, is_connected=False, to_decode=(), to_prefill=())
    for room in ROOMS:
        world = at_decode(world, room, LoanEvent.UNKNOWN, limits)
        prefill = world.prefills[room]
        if prefill is not None:
            world = sent(world, room, prefill, SendEvent.LOST)
    return world


def put(values: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])


def wrong(world: World) -> str | None:
    """What must never be."""
    for room, prefill in enumerate(world.prefills):
        if prefill is None:
            continue
        if prefill.sending.in_flight and world.owner in ROOMS and world.owner != room:
            return f"the page belongs to {world.owner} while a write for {room} is in flight"
        if world.loans[room] is Loan.ARRIVED and prefill.landed != LAYERS:
            return f"{room} is used with {prefill.landed} of {LAYERS} layers written"
    return None


def explore(limits: Limits) -> tuple[dict[World, list[World]], list[str] | None]:
    """All reachable worlds with their successors; the shortest way to a wrong one, if any."""
    start = World()
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    successors: dict[World, list[World]] = {}
    todo = deque([start])
    while todo:
        world = todo.popleft()
        if wrong(world):
            return successors, way_to(world, came_from)
        successors[world] = []
        for name, after in moves(world, limits):
            successors[world].append(after)
            if after not in came_from:
                came_from[after] = (world, name)
                todo.append(after)
    return successors, None


def way_to(world: World, came_from: dict[World, tuple[World, str] | None]) -> list[str]:
    way: list[str] = []
    while (step := came_from[world]) is not None:
        world, name = step
        way.append(name)
    return way[::-1]


@pytest.mark.parametrize("may_lose", [False, True])
@pytest.mark.parametrize("may_break", [False, True])
def test_confirm_never_reuses_a_page_with_a_write_in_flight(
    *, may_lose: bool, may_break: bool
) -> None:
    limits = Limits(AbortProtocol.CONFIRM, may_lose=may_lose, may_break=may_break)
    reachable, way = explore(limits)
    assert way is None
    assert len(reachable) > 1000


def test_unsafe_is_found_to_race() -> None:
    """Give up, reuse, and the write that nobody stopped: the shortest way there."""
    _, way = explore(Limits(AbortProtocol.UNSAFE))
    assert way is not None
    assert "cancel 0" in way
    assert way.index("cancel 0") < way.index("lend 1")
    assert way[-1] in ("begin 0", "lend 1")


def test_an_answer_that_does_not_wait_for_the_writes_is_found_to_race() -> None:
    """As an engine shipped it: notified, acknowledged at once, and one write still under way."""
    _, way = explore(Limits(AbortProtocol.CONFIRM, answers_early=True))
    assert way is not None
    assert "begin 0" in way
    assert "abort arrives 0" in way


def test_confirm_gives_every_page_back() -> None:
    """Without a loss or a broken write there is always a way on to a free page."""
    reachable, _ = explore(Limits(AbortProtocol.CONFIRM))
    predecessors: dict[World, list[World]] = {}
    for world, following in reachable.items():
        for after in following:
            predecessors.setdefault(after, []).append(world)
    good = {world for world in reachable if world.owner is None}
    todo = list(good)
    while todo:
        for before in predecessors.get(todo.pop(), ()):
            if before not in good:
                good.add(before)
                todo.append(before)
    assert good == set(reachable)


def test_every_cell_of_the_tables_exists() -> None:
    for table in (CONFIRM, UNSAFE):
        assert set(table) == {(loan, event) for loan in Loan for event in LoanEvent}


def test_a_last_word_is_said_once_and_only_when_nothing_is_in_flight() -> None:
    """All sequences of up to six events that can happen."""
    words = set(SAID)
    todo = [(Sending(), 0, 0)]
    for _ in range(6):
        following = []
        for sending, said, depth in todo:
            for event in SendEvent:
                if event in (SendEvent.END, SendEvent.BREAK) and not sending.in_flight:
                    continue
                after, actions = step_sending(sending, event)
                spoken = [action for action in actions if action in words]
                if spoken:
                    assert after.in_flight == 0
                    assert after.state is SendState.CLOSED
                if sending.state is SendState.CLOSED:
                    assert SendAction.WRITE not in actions
                assert said + len(spoken) <= 1
                following.append((after, said + len(spoken), depth + 1))
        todo = following
