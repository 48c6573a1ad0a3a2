"""Writes a response's body to the client's socket, past ASGI."""

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

WRITER = "specwatch.writer"
"""Name of the ASGI extension under which a request's ``BodyWriter`` is found."""


class BodyWriter:
    """Writes the body of a streamed response at once, past ASGI.

    A call where ASGI has a coroutine, a dict and an awaited event for each piece. The head, and the
    end, go through ASGI.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    @property
    def is_full(self) -> bool:
        """The client does not keep up: wait (by ASGI's ``send``) before more is written."""
        return self._cycle.flow.write_paused

    def write(self, data: bytes) -> None:
        """Sends bytes of a body whose head was sent."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        assert cycle.response_started, "the head comes first"
        cycle.transport.write(
            b"%x\r\n%b\r\n" % (len(data), data) if cycle.chunked_encoding else data
        )
