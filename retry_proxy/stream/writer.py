"""Writes a response's body to the client's socket, past ASGI."""

from collections.abc import Callable
from typing import cast

from starlette.types import Message
from uvicorn._types import HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

WRITER = "specwatch.writer"
"""Name of the ASGI extension under which a request's ``BodyWriter`` is found."""


class BodyWriter:
    """Writes the body of a streamed response at once, past ASGI.

    A call where ASGI has a coroutine, a dict and an awaited event for each piece. The end goes
    through ASGI.
    """

    __slots__ = ("_cycle", "on_gone")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self.on_gone: Callable[[], object] | None = None  # called once if the client leaves

    @property
    def is_full(self) -> bool:
        """The client does not keep up: wait (by ASGI's ``send``) before more is written."""
        return self._cycle.flow.write_paused

    @property
    def is_gone(self) -> bool:
        """The client has left."""
        return self._cycle.disconnected

    def start(self, head: Message) -> None:
        """Sends the head; not while the client does not keep up.

        Uvicorn's own ``send`` waits for nothing then: it is run to its end here, and no task has to
        be woken before the first token goes out.
        """
        assert not self.is_full, "the head would have to wait"
        sending = self._cycle.send(cast("HTTPResponseStartEvent", head))
        try:
            sending.send(None)
        except StopIteration:
            return
        raise AssertionError("the head waits for something")

    def write(self, data: bytes) -> None:
        """Sends bytes of a body whose head was sent."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        assert cycle.response_started, "the head comes first"
        cycle.transport.write(
            b"%x\r\n%b\r\n" % (len(data), data) if cycle.chunked_encoding else data
        )
