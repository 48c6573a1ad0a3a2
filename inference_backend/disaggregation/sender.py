"""The prefill side: sends pages layer by layer while the prompt is computed.

Three threads meet here. The engine's thread says what has been computed, the server's loop brings
offers and aborts, and a worker writes. All of them ask the table in ``handoff`` under one lock, and
act outside it.
"""

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Several
from dataclasses import dataclass, field

from inference_backend.disaggregation.handoff import (
    SendAction,
    SendEvent,
    Sending,
    step_sending,
)
from inference_backend.disaggregation.messages import Offer, Report
from inference_backend.disaggregation.page_move import (
    PageMove,
    move_to_lent,
    places_to_send,
)
from inference_backend.disaggregation.transport import Ready, RemotePages
from inference_backend.engine import inspection
from inference_backend.engine.scheduler import Chunk
from inference_backend.engine.sequence import Sequence
from inference_backend.errors import TransferFailed
from inference_backend.kv.lease import PageCache
from inference_backend.kv.store import KvStore

log = logging.getLogger(__name__)
REPORTS = {
    SendAction.SAY_DONE: "done",
    SendAction.SAY_SAFE: "safe",
    SendAction.SAY_FAILED: "failed",
    SendAction.SAY_UNKNOWN: "unknown",
}
MAX_ENDED = 4096
COMPUTED = -1  # in place of a layer: all writes of the room are in the queue before this one

Say = Callable[[Report], None]
Post = Callable[[Callable[[], object]], None]
"""Has something done by the engine's thread, before its next step."""


@dataclass(slots=True)
class _Room:
    """One request that is being sent.

    Attributes:
        writes: the queue of the decode side that lent the pages.
        request_id: the prefill's own request, once it has come.
        held: own pages that must not be reused while they are read, by layer-independent place.
    """

    offer: Offer
    writes: "Writes"
    say: Say
    sending: Sending = field(default_factory=Sending)
    request_id: str | None = None
    held: list[int] = field(default_factory=list)
    message: str = ""
    is_tainted: bool = False


@dataclass(frozen=True, slots=True)
class _Write:
    room: int
    layer: int
    move: PageMove | None = None  # none with COMPUTED
    ready: Ready | None = None


Writes = queue.SimpleQueue[_Write | None]


class Sender:
    """Owns the rooms of one prefill engine.

    Args:
        cache: the engine's own; only touched by the engine's thread, through ``post``.
        abort_request: ends a request of the prefill engine; called by the engine's thread.
    """

    def __init__(
        self, store: KvStore, cache: PageCache, post: Post, abort_request: Callable[[str], object]
    ) -> None:
        self._store, self._cache = store, cache
        self._post, self._abort_request = post, abort_request
        self._rooms: dict[int, _Room] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()  # an abort may come before the request
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Rooms whose last word has not been said."""
        with self._lock:
            return len(self._rooms)

    # The server's loop.

    def connect(self, target: RemotePages) -> Writes:
        """A queue and a worker for one decode side: one that hangs does not hold up the others.

        ``disconnect`` ends the worker.
        """
        writes: Writes = queue.SimpleQueue()
        name = "kv-sender"
        threading.Thread(target=self._work, args=(writes, target), name=name, daemon=True).start()
        return writes

    def disconnect(self, writes: Writes) -> None:
        """The decode side is gone: its rooms end, its worker too."""
        with self._lock:
            rooms = [number for number, room in self._rooms.items() if room.writes is writes]
        for number in rooms:
            self._step(number, SendEvent.LOST)
        writes.put(None)

    def offer(self, offer: Offer, writes: Writes, say: Say) -> None:
        """Decode lends pages for a room; if another has the room, nothing is written there."""
        with self._lock:
            is_taken = offer.room in self._rooms
            if not is_taken and offer.room not in self._ended:
                self._rooms[offer.room] = _Room(offer, writes, say)
        if is_taken:
            message = f"another decode side uses bootstrap_room {offer.room}"
            say(Report(room=offer.room, event="failed", message=message))

    def abort(self, room: int, say: Say) -> None:
        """Decode asks for its pages back. An unknown room was never written for: that is safe."""
        with self._lock:
            found = self._rooms.get(room)
            known = found is not None and found.say is say  # another decode's is not this one's
            if known or found is None:
                self._end(room)
        if known:
            self._step(room, SendEvent.ABORT)
        else:
            say(Report(room=room, event="safe"))

    # The engine's thread.

    def join(self, room: int, request_id: str) -> None:
        """The prefill's own request for a room has come.

        Raises:
            TransferFailed: decode has given the room up, or does not know it, or another request
                has it.
        """
        with self._lock:
            if room in self._ended or room not in self._rooms:
                raise TransferFailed(f"the decode side has given up bootstrap_room {room}")
            if self._rooms[room].request_id is not None:
                raise TransferFailed(f"another request has bootstrap_room {room}")
            self._rooms[room].request_id = request_id

    def expire(self, room: int) -> None:
        """Ends a room whose own request has not come."""
        with self._lock:
            known = self._rooms.get(room)
        if known is not None and known.request_id is None:
            self.cancel(room, "the prefill's request did not come")

    def has(self, room: int) -> bool:
        """Whether an offer for the room has come, or it is over already."""
        with self._lock:
            return room in self._rooms or room in self._ended

    def written(self, layer: int, chunks: Several[Chunk]) -> None:
        """A layer of these chunks is in the cache: its full pages can go."""
        ready = Ready(self._store.device)
        for chunk in chunks:
            room = chunk.sequence.request.room
            if room is not None:
                self._queue(room, layer, chunk, ready)

    def request_over(self, sequence: Sequence, abort_message: str | None) -> None:
        """The whole prompt has been computed and queued, or the prefill's own request ended early.

        See ``engine.partner.Partner``.
        """
        number = sequence.request.room
        with self._lock:
            room = None if number is None else self._rooms.get(number)
        if room is None or number is None:
            return
        if abort_message is None:
            room.is_tainted = inspection.is_tainted(sequence)
            room.writes.put(_Write(number, COMPUTED))
            return
        self.cancel(number, abort_message)

    def cancel(self, number: int, message: str) -> None:
        """The prefill's own request will not be computed. Any thread."""
        self._set_message(number, message)
        self._step(number, SendEvent.CANCEL)

    def pending(self, sequence: Sequence) -> Iterable[int]:
        """A prefill computes all of its pages itself."""
        return ()

    def _queue(self, number: int, layer: int, chunk: Chunk, ready: Ready) -> None:
        lease = chunk.sequence.lease
        assert lease is not None
        with self._lock:
            room = self._rooms.get(number)
        if room is None:
            return
        places = places_to_send(room.offer, lease, chunk, self._store.page_size)
        if not places:
            return
        move = move_to_lent(room.offer, lease, places)
        self._hold(room, move.sources)
        room.writes.put(_Write(number, layer, move, ready))

    def _hold(self, room: _Room, pages: list[int]) -> None:
        """The sources must stay what they are until they have been read."""
        for page in pages:
            if page not in room.held:
                self._cache.pool.hold(page)
                room.held.append(page)

    # The worker.

    def _work(self, writes: Writes, target: RemotePages) -> None:
        while (write := writes.get()) is not None:
            if write.layer == COMPUTED:
                self._step(write.room, SendEvent.COMPUTED)
            elif SendAction.WRITE in self._step(write.room, SendEvent.BEGIN):
                self._step(write.room, self._write(write, target))
        target.close()

    def _write(self, write: _Write, target: RemotePages) -> SendEvent:
        assert write.move is not None
        assert write.ready is not None
        try:
            target.write(write.layer, write.move, write.ready)
            if write.layer == self._store.num_layers:
                target.write_tails(write.move, write.ready)
        except Exception as error:  # whatever it was: nobody knows what has arrived
            log.warning("transfer for room %d: %s", write.room, error)
            self._set_message(write.room, str(error) or type(error).__name__)
            return SendEvent.BREAK
        return SendEvent.END

    # All of them.

    def _step(self, number: int, event: SendEvent) -> tuple[SendAction, ...]:
        with self._lock:
            room = self._rooms.get(number)
            if room is None:
                return ()
            room.sending, actions = step_sending(room.sending, event)
            is_over = room.sending.state == "closed" and room.sending.in_flight == 0
            if is_over:
                del self._rooms[number]
                self._end(number)
        for action in actions:
            self._act(number, room, action)
        if is_over:
            self._post(lambda: self._let_go(room))
        return actions

    def _act(self, number: int, room: _Room, action: SendAction) -> None:
        if action in REPORTS:
            event, is_tainted = REPORTS[action], room.is_tainted
            room.say(Report(room=number, event=event, message=room.message, is_tainted=is_tainted))
        elif action is SendAction.STOP_COMPUTING and room.request_id is not None:
            request_id = room.request_id
            self._post(lambda: self._abort_request(request_id))

    def _set_message(self, number: int, message: str) -> None:
        with self._lock:
            if number in self._rooms:
                self._rooms[number].message = message

    def _let_go(self, room: _Room) -> None:
        for page in room.held:
            self._cache.pool.release(page, keep=page in self._cache.prefix)
        room.held.clear()

    def _end(self, number: int) -> None:
        self._ended[number] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
