"""Moves pages into another engine's memory, one-sidedly: the other side does nothing for it."""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.errors import TransferFailed
from inference_backend.kv.epochs import MOVER_BITS, Mover, tag_of
from inference_backend.kv.store import KvStore


class RemotePages(Protocol):
    """Another engine's pages. Called by the sender's thread; each call returns when it is done."""

    def write(self, layer: int, move: PageMove, ready: "Ready") -> None:
        """Writes own pages of a layer over the targets, with the targets' tags.

        A source page that is not of its allocation any more goes with the tag ``POISON``: the
        reader must see that what arrived is not what was meant.

        Raises:
            TransferFailed: nobody knows how much of it has arrived.
        """
        ...

    def write_tails(self, move: PageMove, ready: "Ready") -> None:
        """The same for the hidden states at the pages' ends."""
        ...

    def close(self) -> None:
        """Gives back what only these writes needed. No write is under way."""
        ...


class Transport(Protocol):
    """One engine's end of all transfers."""

    def describe(self) -> Memory:
        """What the other side needs to write here."""
        ...

    def reach(self, memory: Memory) -> RemotePages:
        """Raises ``TransferFailed`` if the other side's memory cannot be written from here."""
        ...

    def close(self) -> None: ...


class Ready:
    """A point of the computing stream after which the sources are written. On a CPU: now."""

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def wait(self, stream: torch.cuda.Stream | None) -> None:
        if self._event is not None and stream is not None:
            stream.wait_event(self._event)


POISON = tag_of(1 << 60, Mover.TRANSFER)
_STORES: "weakref.WeakValueDictionary[str, KvStore]" = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


def same(layer: int) -> int:
    """A store that has all layers has each under its own number."""
    return layer


class LocalTransport:
    """Between engines of one process: a copy by the sender's thread, on CUDA on its own stream.

    ``place``: where a layer lies in ``store``, if not all are there.
    """

    def __init__(self, store: KvStore, place: Callable[[int], int] = same) -> None:
        self._store, self._place = store, place
        self._session = f"local-{id(store):x}"
        with _LOCK:
            _STORES[self._session] = store

    def describe(self) -> Memory:
        return Memory(transport="local", session=self._session, pages=self._store.blocks.shape[1])

    def reach(self, memory: Memory) -> "LocalPages":
        with _LOCK:
            other = _STORES.get(memory.session) if memory.transport == "local" else None
        if other is None:
            raise TransferFailed(
                f"the transport local reaches engines of this process only, not {memory.session}"
            )
        return LocalPages(self._store, other, self._place)

    def close(self) -> None:
        with _LOCK:
            _STORES.pop(self._session, None)


class Target(Protocol):
    """Pages that can be written to; shapes as in ``KvStore``."""

    @property
    def words(self) -> Tensor: ...

    @property
    def tail_hidden(self) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Mapped:
    """Another process's pages, see ``Target``."""

    words: Tensor
    tail_hidden: Tensor


class LocalPages:
    """Copies within one memory. See ``RemotePages``."""

    def __init__(self, source: KvStore, target: Target, place: Callable[[int], int] = same) -> None:
        self._source, self._target, self._place = source, target, place
        self._stream: torch.cuda.Stream | None = None
        if source.device.type == "cuda":
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def write(self, layer: int, move: PageMove, ready: Ready) -> None:
        check_targets(move, self._target.words.shape[1])
        ready.wait(self._stream)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            own, there = self._rows(move)
            place = self._place(layer)
            tags = tags_to_write(self._source, place, move)
            words = self._target.words[layer]
            words[there, 0] = tags
            words[there, 1:-1] = self._source.words[place, own, 1:-1]
            words[there, -1] = tags
        self._finish()

    def write_tails(self, move: PageMove, ready: Ready) -> None:
        ready.wait(self._stream)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            own, there = self._rows(move)
            self._target.tail_hidden[there] = self._source.tail_hidden[own]
        self._finish()

    def close(self) -> None:
        """Nothing was taken."""

    def _rows(self, move: PageMove) -> tuple[Tensor, Tensor]:
        device = self._source.device
        return (
            torch.tensor(move.sources, device=device),
            torch.tensor(move.targets, device=device),
        )

    def _finish(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()


def check_targets(move: PageMove, pages: int) -> None:
    """A page number beyond the other side's store would be written into its other memory.

    Raises:
        TransferFailed: an offer names one.
    """
    if not all(0 < page < pages for page in move.targets):
        raise TransferFailed("an offer names pages that the decode side does not have")


def tags_to_write(store: KvStore, layer: int, move: PageMove) -> Tensor:
    """``[n]``: the targets' tags, or ``POISON`` where the sources are not what was meant."""
    device = store.device
    meant = torch.tensor([tag_of(epoch, Mover.TRANSFER) for epoch in move.target_epochs]).to(device)
    found = store.tails[layer, torch.tensor(move.sources, device=device)]
    expected = torch.tensor(move.source_epochs, device=device)
    is_written = found != 0  # without a sanitizer here nobody writes tags
    is_wrong = is_written & ((found >> MOVER_BITS) != expected)
    return torch.where(is_wrong, POISON, meant)
