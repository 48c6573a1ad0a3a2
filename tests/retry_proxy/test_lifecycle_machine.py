"""The life cycle under any order of events: what a client is told never contradicts itself."""

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from retry_proxy.decide.lifecycle import (
    TABLE,
    LifecycleError,
    RequestEvent,
    RequestState,
    advance,
    has_released,
    is_over,
)

E, S = RequestEvent, RequestState


class Request(RuleBasedStateMachine):
    """One request, beside a plain memory of what happened to it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = S.WAITING
        self.has_text = False  # the client has some
        self.is_running = False  # an attempt
        self.end: RequestEvent | None = None

    def step(self, event: RequestEvent) -> None:
        self.state = advance(self.state, event)

    @precondition(lambda self: self.end is None and not self.is_running)
    @rule()
    def dispatch(self) -> None:
        self.step(E.DISPATCH)
        self.is_running = True

    @precondition(lambda self: self.end is None and self.is_running)
    @rule()
    def release(self) -> None:
        self.step(E.RELEASE)
        self.has_text = True

    @precondition(lambda self: self.end is None and self.is_running)
    @rule()
    def stop(self) -> None:
        self.step(E.STOP)
        self.is_running = False

    @precondition(lambda self: self.end is None and self.is_running)
    @rule()
    def complete(self) -> None:
        self.step(E.COMPLETE)
        self.end = E.COMPLETE

    @precondition(lambda self: self.end is None)
    @rule()
    def fail(self) -> None:
        self.step(E.FAIL)
        self.end = E.FAIL

    @precondition(lambda self: self.end is None)
    @rule()
    def leave(self) -> None:
        self.step(E.LEAVE)
        self.end = E.LEAVE

    @precondition(lambda self: self.end is not None)
    @rule()
    def nothing_more_comes(self) -> None:
        """Hypothesis wants a way on; the invariants look again."""

    @invariant()
    def text_that_went_out_is_never_forgotten(self) -> None:
        """Else a retry would start the answer again behind text that the client has."""
        if self.end is None:
            assert has_released(self.state) is self.has_text

    @invariant()
    def it_is_over_exactly_when_it_ended(self) -> None:
        assert is_over(self.state) is (self.end is not None)

    @invariant()
    def the_end_is_told_as_what_it_was(self) -> None:
        """A status is only possible while nothing was sent; behind text it is an in-band error."""
        if self.end is E.FAIL:
            assert self.state is (S.BROKEN if self.has_text else S.REFUSED)
        elif self.end is not None:
            assert self.state is (S.ANSWERED if self.end is E.COMPLETE else S.ABANDONED)

    @invariant()
    def what_the_memory_excludes_the_table_refuses(self) -> None:
        """No second dispatch beside an attempt that runs, nothing after the end."""
        impossible = set(E) if self.end is not None else set()
        impossible |= {E.DISPATCH} if self.is_running else {E.RELEASE, E.STOP, E.COMPLETE}
        for event in impossible:
            assert event not in TABLE[self.state]
            try:
                advance(self.state, event)
            except LifecycleError:
                continue
            raise AssertionError(f"{event.value} was possible while {self.state.value}")


TestRequest = Request.TestCase
TestRequest.settings = settings(max_examples=200, stateful_step_count=20, deadline=None)
