"""Each owner sends its layers of a prompt to the decode engine; the sender does not know of it.

To ``disaggregation.sender`` all of it is one ``Transport``: a write of a layer that another rank
owns is asked of that rank, and returns when it has ended there. So what the hand-off's protocol
says about writes under way stays true.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.disaggregation.transport import LocalTransport, Ready, RemotePages, Transport
from inference_backend.engine.runner import OnLayer
from inference_backend.engine.scheduler import Chunk
from inference_backend.errors import TransferFailed
from inference_backend.kv.store import KvStore
from inference_backend.parallel.leader import Leader
from inference_backend.parallel.meeting import IDLE
from inference_backend.parallel.rank import Rank

log = logging.getLogger(__name__)

STOP = "stop"


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """A decode side is gone: its memory, which may be mapped here, is given back. No answer."""

    session: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """A write that its owner is asked for.

    Attributes:
        generation: of the ranks that have computed it; others have other layers.
        passes: passes in which the layer must have been computed before its pages are read.
    """

    memory: Memory
    layer: int
    generation: int
    passes: int
    sources: list[int]
    source_epochs: list[int]
    targets: list[int]
    target_epochs: list[int]


class Progress:
    """In how many passes a rank has computed each layer. Any thread."""

    def __init__(self, num_layers: int) -> None:
        self._passes = [0] * num_layers
        self._changed = threading.Condition()

    def computed(self, layer: int) -> None:
        with self._changed:
            self._passes[layer] += 1
            self._changed.notify_all()

    def passes(self, layer: int) -> int:
        with self._changed:
            return self._passes[layer]

    def wait(self, layer: int, passes: int, timeout_seconds: float) -> bool:
        """Whether the layer was computed in so many passes in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._passes[layer] >= passes, timeout_seconds)


class OwnerSends:
    """On every rank but the first: a thread that writes what it is asked to.

    Attributes:
        progress: its ``computed`` must be told of every layer.
    """

    def __init__(self, store: Store, name: int, rank: Rank, transport: Transport) -> None:
        self._store, self._name, self._rank, self._transport = store, name, rank, transport
        self.progress = Progress(rank.store.num_layers)
        self._reached: dict[str, RemotePages] = {}
        self._is_stopping, self._answered = False, 0
        self._thread = threading.Thread(target=self._run, name="owner-sends", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """After the write that is under way, if there is one.

        Not over a store's connection, on which the thread's waiting keeps this word back: a process
        simply ends.
        """
        self._is_stopping = True
        self._store.set(self._key(), STOP)
        self._thread.join(timeout_seconds)

    def _key(self) -> str:
        return f"ask/{self._name}/{self._answered}"

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._store.wait([self._key()], IDLE)
            except dist.DistNetworkError:
                return  # the first rank is gone
            except dist.DistStoreError:
                continue
            asked = self._store.get(self._key())
            if asked == STOP.encode():
                break
            self._store.delete_key(self._key())
            told = msgspec.json.decode(asked, type=Ask | Forget)
            if isinstance(told, Ask):
                self._answer(told, self._answered)
            elif (target := self._reached.pop(told.session, None)) is not None:
                target.close()
            self._answered += 1
        for target in self._reached.values():
            target.close()

    def _answer(self, ask: Ask, number: int) -> None:
        try:
            self._write(ask)
            said = ""
        except Exception as error:  # the thread's supervisor: the transfer fails, not the thread
            log.warning("rank %d could not send layer %d: %s", self._name, ask.layer, error)
            said = str(error) or type(error).__name__
        self._store.set(f"answer/{self._name}/{number}", f"!{said}")

    def _write(self, ask: Ask) -> None:
        seconds = self._rank.options.timeout_seconds
        if not self.progress.wait(ask.layer, ask.passes, seconds):
            raise TransferFailed("the layer was not computed in time")
        move = PageMove(ask.sources, ask.source_epochs, ask.targets, ask.target_epochs)
        target = self._reached.get(ask.memory.session)
        if target is None:
            target = self._reached[ask.memory.session] = self._transport.reach(ask.memory)
        self._check(ask)
        target.write(ask.layer, move, Ready(self._rank.store.device))
        self._check(ask)

    def _check(self, ask: Ask) -> None:
        """Before and after: the ranks may meet anew while pages are read."""
        if ask.generation != self._rank.generation or not self._rank.stores(ask.layer):
            raise TransferFailed("the layer was lost with a rank")


class OwnersTransport:
    """The first rank's ``Transport``.

    Args:
        own: of the first rank's own store.
    """

    def __init__(self, store: Store, leader: Leader, own: Transport) -> None:
        self._store, self._leader, self._own = store, leader, own
        self._rank = leader.rank
        assert self._rank.options.has_draft, "the decode side has the draft head's layer"
        self._progress = Progress(self._rank.store.num_layers)
        self._asked: dict[int, int] = {}
        self._lost_epoch = 0
        self._lock = threading.Lock()
        leader.on_regroup = self._lose

    def _lose(self) -> None:
        """What was computed so far goes, on all ranks. Told before it does: see ``check``."""
        self._lost_epoch = self._leader.engine.scheduler.cache.epochs.last

    def check(self, move: PageMove) -> None:
        """Before and after the sources are read, by any thread.

        Empty pages bear no tag, which to a reader means that nobody writes any.

        Raises:
            TransferFailed: the sources were lost.
        """
        if min(move.source_epochs) <= self._lost_epoch:
            raise TransferFailed("what was to be sent was lost with a rank")

    @contextmanager
    def reading(self, move: PageMove) -> Iterator[None]:
        """Raises ``TransferFailed`` if the sources were lost before or meanwhile."""
        self.check(move)
        try:
            yield
        finally:
            self.check(move)

    def describe(self) -> Memory:
        return self._own.describe()

    def reach(self, memory: Memory) -> "OwnersPages":
        return OwnersPages(self, memory, self._own.reach(memory))

    def close(self) -> None:
        self._own.close()

    def owner(self, layer: int) -> int:
        """Its number when all began. The draft head's layer is the first rank's."""
        members = self._leader.members  # once: they may meet anew now
        return members[self._rank.owner_among(len(members), layer)]

    def after(self, on_layer: OnLayer) -> OnLayer:
        """What the first rank's runner has to call in place of ``on_layer``."""

        def computed(layer: int, chunks: list[Chunk]) -> None:
            if layer < self._rank.store.num_layers:  # the draft head's is not asked for
                self._progress.computed(layer)
            on_layer(layer, chunks)

        return computed

    def ask(self, memory: Memory, name: int, layer: int, move: PageMove) -> None:
        """Returns when it has been done. One ask of a rank at a time: they are answered in turn.

        Raises:
            TransferFailed: it was not, or nobody knows.
        """
        ask = Ask(
            memory,
            layer,
            self._rank.generation,
            self._progress.passes(layer),
            move.sources,
            move.source_epochs,
            move.targets,
            move.target_epochs,
        )
        key = f"answer/{name}/{self._tell(name, ask)}"
        try:
            self._store.wait([key], timedelta(seconds=2 * self._rank.options.timeout_seconds))
        except dist.DistStoreError as error:
            raise TransferFailed(f"rank {name} does not answer") from error
        said = self._store.get(key).decode().removeprefix("!")
        self._store.delete_key(key)
        if said:
            raise TransferFailed(f"rank {name}: {said}")

    def forget(self, memory: Memory) -> None:
        """Nobody writes there any more."""
        for name in self._leader.members[1:]:
            self._tell(name, Forget(memory.session))

    def _tell(self, name: int, told: Ask | Forget) -> int:
        """Its number: what a rank is told is done in turn."""
        with self._lock:
            number = self._asked.get(name, 0)
            self._asked[name] = number + 1
            self._store.set(f"ask/{name}/{number}", msgspec.json.encode(told).decode())
        return number


class OwnersPages:
    """See ``disaggregation.transport.RemotePages``."""

    def __init__(self, transport: OwnersTransport, memory: Memory, own: RemotePages) -> None:
        self._transport, self._memory, self._own = transport, memory, own

    def write(self, layer: int, move: PageMove, ready: Ready) -> None:
        with self._transport.reading(move):
            name = self._transport.owner(layer)
            if name == 0:
                self._own.write(layer, move, ready)
            else:
                self._transport.ask(self._memory, name, layer, move)

    def write_tails(self, move: PageMove, ready: Ready) -> None:
        with self._transport.reading(move):
            self._own.write_tails(move, ready)

    def close(self) -> None:
        self._own.close()
        self._transport.forget(self._memory)


def local_transport(rank: Rank) -> LocalTransport:
    """Between engines of one process, from a store that has only some layers."""
    store: KvStore = rank.store
    return LocalTransport(store, rank.place)
