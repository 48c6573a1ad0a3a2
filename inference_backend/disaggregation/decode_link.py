"""The decode's side of the connections, one to each prefill, and the time budgets. Event loop only.

What the engine's thread sends and what it is told cross over here.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from inference_backend.disaggregation.handoff import LoanEvent
from inference_backend.disaggregation.keepalive import keep_alive
from inference_backend.disaggregation.messages import (
    MAX_LINE_BYTES,
    Abort,
    Hello,
    Offer,
    Refusal,
    Report,
    Welcome,
    encode,
    read_from_prefill,
)
from inference_backend.errors import TransferFailed

log = logging.getLogger(__name__)
CONNECT_SECONDS = 5.0

Address = tuple[str, int]
Tell = Callable[[int, LoanEvent, str, bool], None]
"""Room, event, message, is it tainted: brought to the receiver in the engine's thread."""


@dataclass(slots=True)
class _Peer:
    """One prefill.

    Attributes:
        rooms: what has been lent to it and not been answered for.
        unsent: messages from before the connection stood.
    """

    rooms: dict[int, asyncio.TimerHandle] = field(default_factory=dict)
    unsent: list[Offer | Abort] = field(default_factory=list)
    writer: asyncio.StreamWriter | None = None


class DecodeLink:
    """Connects to prefills as requests name them.

    Args:
        budget_seconds: what a prefill gets for a request, from the moment its pages are lent.
    """

    def __init__(self, hello: Hello, budget_seconds: float, tell: Tell) -> None:
        self._hello, self._budget_seconds, self._tell = hello, budget_seconds, tell
        self._peers: dict[Address, _Peer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, address: Address, message: Offer | Abort) -> None:
        """Called by the engine's thread; never waits."""
        if self._loop is None:
            raise RuntimeError("the link has not been started")
        self._loop.call_soon_threadsafe(self._send, address, message)

    def _send(self, address: Address, message: Offer | Abort) -> None:
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = _Peer()
            task = asyncio.ensure_future(self._run(address, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if isinstance(message, Offer):
            peer.rooms[message.room] = asyncio.get_running_loop().call_later(
                self._budget_seconds,
                self._tell,
                message.room,
                LoanEvent.CANCEL,
                self._too_late(),
                False,
            )
        elif (timer := peer.rooms.get(message.room)) is not None:
            timer.cancel()
        if peer.writer is None:
            peer.unsent.append(message)
        else:
            peer.writer.write(encode(message) + b"\n")

    def _too_late(self) -> str:
        return f"the prefill did not finish within its {self._budget_seconds:g} s"

    async def _run(self, address: Address, peer: _Peer) -> None:
        """One connection, from its beginning to its end."""
        place = f"the prefill at {address[0]}:{address[1]}"
        event, message = LoanEvent.UNKNOWN, f"the connection to {place} is gone"
        try:
            reader = await self._open(address, peer, place)
            await self._listen(reader, peer)
        except _NotReached as error:  # nothing was ever lent: nothing can be under way
            event, message = LoanEvent.FAILED, str(error)
        except (TransferFailed, OSError, ValueError) as error:
            message = f"{message}: {error}"
        finally:
            self._forget(address, peer, event, message)

    async def _open(self, address: Address, peer: _Peer, place: str) -> asyncio.StreamReader:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(*address, limit=MAX_LINE_BYTES)
                try:
                    keep_alive(writer)
                    writer.write(encode(self._hello) + b"\n")
                    answer = read_from_prefill(await reader.readline())
                except BaseException:
                    writer.close()
                    raise
        except (OSError, TimeoutError, ValueError, TransferFailed) as error:
            raise _NotReached(
                f"{place} cannot be reached: {error or type(error).__name__}"
            ) from error
        if isinstance(answer, Refusal):
            writer.close()
            raise _NotReached(f"{place} refused: {answer.reason}")
        if not isinstance(answer, Welcome):
            writer.close()
            raise _NotReached(f"{place} did not say welcome")
        peer.writer = writer
        writer.write(b"".join(encode(message) + b"\n" for message in peer.unsent))
        peer.unsent.clear()
        return reader

    async def _listen(self, reader: asyncio.StreamReader, peer: _Peer) -> None:
        while line := await reader.readline():
            report = read_from_prefill(line)
            if not isinstance(report, Report):
                raise TransferFailed("a prefill said what is not said in a conversation")
            timer = peer.rooms.pop(report.room, None)
            if timer is not None:
                timer.cancel()
            self._tell(report.room, read_event(report), report.message, report.is_tainted)

    def _forget(self, address: Address, peer: _Peer, event: LoanEvent, message: str) -> None:
        if self._peers.get(address) is peer:
            del self._peers[address]
        if peer.writer is not None:
            peer.writer.close()
        for room, timer in peer.rooms.items():
            timer.cancel()
            self._tell(room, event, message, False)
        peer.rooms.clear()


class _NotReached(TransferFailed):
    """No connection ever stood."""


def read_event(report: Report) -> LoanEvent:
    """A prefill may say four things; ``cancel`` is not one of them.

    Raises:
        TransferFailed: it said something else.
    """
    if report.event in ("done", "failed", "safe", "unknown"):
        return LoanEvent(report.event)
    raise TransferFailed(f"a prefill reported {report.event!r}")
