"""Records what a proxy is asked for: numbers and hashes, never a word of it.

The event loop only hands over; a thread hashes, writes and waits for the disk.
"""

import contextlib
import logging
import queue
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from monitor.traffic.record_file import RecordFile
from monitor.traffic.record_line import Ended, line_of
from retry_proxy.engines.call import GenerationCall
from retry_proxy.events import AttemptEnded, Event, EventSink, RequestEnded

logger = logging.getLogger("specwatch.record")

_QUEUE_LIMIT = 4096  # requests that wait for the thread; each keeps its body in memory
_OPEN_LIMIT = 20_000
_FLUSH_SECONDS = 1.0
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Where to record to, and how much of it at most.

    Attributes:
        max_bytes: of each file; ``kept`` full ones lie beside the one that is written.
        salt: of the hashes. Drawn anew unless given: then recordings of several proxies, or of
            several days, show what they have in common.
    """

    path: Path
    max_bytes: int
    kept: int = 3
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


class Recorder:
    """An ``EventSink`` and a ``CallSink``: never blocks, never raises.

    What fails is counted and costs the record, never the request. A full disk ends the recording.

    Args:
        inner: gets every event first.

    Attributes:
        written: requests that were given to the file.
        is_up: still recording.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, options: RecordOptions, inner: EventSink) -> None:
        self._inner = inner
        self._salt = options.salt
        self._file = RecordFile(options.path, options.max_bytes, options.kept)
        self._path = options.path
        self._began_at = time.time()
        self._open: OrderedDict[str, tuple[GenerationCall, list[AttemptEnded]]] = OrderedDict()
        self._queue: queue.Queue[Ended | None] = queue.Queue(_QUEUE_LIMIT)
        self._thread = threading.Thread(target=self._work, name="record", daemon=True)
        self.written = 0
        self._dropped: Counter[str] = Counter()  # by the event loop
        self._lost: Counter[str] = Counter()  # by the thread: no count has two writers
        self.is_up = True

    @contextlib.contextmanager
    def running(self) -> Iterator["Recorder"]:
        """The thread runs meanwhile; what waits at the end is written, for 5 s at most."""
        self._thread.start()
        try:
            yield self
        finally:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=_CLOSE_SECONDS)
            self._thread.join(_CLOSE_SECONDS)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Requests that were not recorded, by why."""
        return self._dropped + self._lost

    # the event loop's side

    def began(self, request_id: str, call: GenerationCall) -> None:
        """A request came."""
        if not self.is_up:
            self._open.clear()
            self._dropped["stopped"] += 1
        elif not call.is_watched:
            self._dropped["unwatched"] += 1  # its end is told to nobody
        else:
            self._open[request_id] = (call, [])
            if len(self._open) > _OPEN_LIMIT:
                self._open.popitem(last=False)
                self._dropped["too_many_open"] += 1

    def emit(self, event: Event) -> None:
        """Passes the event on, and takes what belongs to the record."""
        self._inner.emit(event)
        if isinstance(event, AttemptEnded) and event.request_id in self._open:
            self._open[event.request_id][1].append(event)
        elif isinstance(event, RequestEnded):
            self._end(event)

    def _end(self, event: RequestEnded) -> None:
        begun = self._open.pop(event.request_id, None)
        if begun is None or not self.is_up:
            return
        try:
            self._queue.put_nowait(Ended(begun[0], event, tuple(begun[1])))
        except queue.Full:
            self._dropped["slow_disk"] += 1

    # the thread's side

    def _work(self) -> None:
        is_dirty = False
        while True:
            try:
                ended = self._queue.get(timeout=_FLUSH_SECONDS)
            except queue.Empty:
                if is_dirty:
                    self._guarded(self._file.flush)
                is_dirty = False
                continue
            if ended is None:
                break
            self._record(ended)
            is_dirty = True
        self._guarded(self._file.flush)
        self._file.close()

    def _record(self, ended: Ended) -> None:
        try:
            line = msgspec.json.encode(line_of(ended, self._salt, self._began_at))
        except Exception as error:  # the supervisor: a body that nobody thought of
            self._lost["not_encoded"] += 1
            logger.error("a request was not recorded: %s", type(error).__name__)  # no text in logs
            return
        if self._guarded(lambda: self._file.write(line)):
            self.written += 1
        else:
            self._lost["stopped"] += 1

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Does it, unless the recording has stopped or stops now."""
        if not self.is_up:
            return False
        try:
            act()
        except OSError as error:
            self.is_up = False
            logger.error("recording to %s has stopped: %s", self._path, error.strerror or error)
            return False
        return True
