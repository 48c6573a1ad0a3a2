"""KV pages over Mooncake's transfer engine: one-sided writes between processes or machines.

Mooncake (https://github.com/kvcache-ai/Mooncake) is what SGLang and vLLM move their pages with. Its
package is optional: ``pip install 'specwatch[mooncake]'`` (CPU memory, TCP; Debian's libibverbs1).
"""

import logging
from collections import deque
from typing import Any

import torch

from inference_backend.disaggregation import listening
from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.disaggregation.transport import Ready, check_targets, tags_to_write
from inference_backend.errors import ModelUnavailable, TransferFailed
from inference_backend.kv.store import KvStore

log = logging.getLogger(__name__)
STAGED_PAGES = 256
_UNCLEAR: deque[torch.Tensor] = deque(maxlen=16)
"""Memory of writes that failed: the library may still be reading it, so it is not freed yet."""


class MooncakeTransport:
    """One process's transfer engine with the store registered.

    Raises:
        ModelUnavailable: the package is missing, or its engine does not start.
    """

    def __init__(self, store: KvStore, host: str, protocol: str = "tcp") -> None:
        try:
            from mooncake.engine import (  # type: ignore[import-untyped]  # noqa: PLC0415  # optional
                TransferEngine,
            )
        except ImportError as error:
            raise ModelUnavailable(
                f"--transport mooncake: {error}; pip install 'specwatch[mooncake]' "
                "(Debian: libibverbs1)"
            ) from error
        self._store, self._engine = store, TransferEngine()
        before = listening.listening()
        if self._engine.initialize(host, "P2PHANDSHAKE", protocol, "") != 0:
            raise ModelUnavailable(f"Mooncake's transfer engine does not start on {host}")
        restrict_to(host, listening.listening() - before)
        self._session = f"{host}:{self._engine.get_rpc_port()}"
        self._register(store.blocks)
        self._register(store.tail_hidden)

    def _register(self, tensor: torch.Tensor) -> None:
        if self._engine.register_memory(tensor.data_ptr(), tensor.nbytes) != 0:
            raise ModelUnavailable(f"Mooncake cannot register {tensor.nbytes} bytes of memory")

    def describe(self) -> Memory:
        return Memory(
            transport="mooncake",
            session=self._session,
            blocks=self._store.blocks.data_ptr(),
            tails=self._store.tail_hidden.data_ptr(),
            pages=self._store.blocks.shape[1],
        )

    def reach(self, memory: Memory) -> "MooncakePages":
        if memory.transport != "mooncake":
            raise TransferFailed(
                f"the decode side uses the transport {memory.transport}, this prefill mooncake"
            )
        staging = torch.empty((STAGED_PAGES, self._store.blocks.shape[2]), dtype=torch.uint8)
        self._register(staging)
        return MooncakePages(self._engine, self._store, memory, staging)

    def close(self) -> None:
        self._engine.unregister_memory(self._store.blocks.data_ptr())
        self._engine.unregister_memory(self._store.tail_hidden.data_ptr())


def restrict_to(host: str, descriptors: set[int]) -> None:
    """Mooncake has listened on all interfaces so far; says so where that stays as it is."""
    try:
        if host in ("0.0.0.0", "") or not descriptors:  # nothing is bound to it here
            raise OSError("no address was given" if descriptors else "its sockets were not found")
        listening.restrict(descriptors, host)
    except OSError as error:
        log.warning(
            "Mooncake listens on all interfaces (%s), and whoever reaches it can write into this "
            "process's memory: keep others out by a firewall",
            error,
        )


class MooncakePages:
    """See ``RemotePages``. Pages are copied once, to put the target's tags beside the data.

    One thread writes, so one staging area is enough.
    """

    def __init__(self, engine: Any, store: KvStore, memory: Memory, staging: torch.Tensor) -> None:
        self._engine, self._store, self._memory, self._staging = engine, store, memory, staging
        self._is_clear = True

    def write(self, layer: int, move: PageMove, ready: Ready) -> None:
        ready.wait(None)
        check_targets(move, self._memory.pages)
        for part in move.parts(STAGED_PAGES):
            self._write_part(layer, part)

    def _write_part(self, layer: int, move: PageMove) -> None:
        store, block = self._store, self._store.blocks.shape[2]
        own = torch.tensor(move.sources, device=store.device)
        with torch.inference_mode():
            staged = self._staging[: len(move.sources)]
            staged.copy_(store.blocks[layer, own])
            words = staged.view(torch.int64)
            words[:, 0] = words[:, -1] = tags_to_write(store, layer, move).cpu()
        base = self._memory.blocks + layer * self._memory.pages * block
        self._send(
            [staged.data_ptr() + index * block for index in range(len(move.targets))],
            [base + page * block for page in move.targets],
            block,
        )

    def write_tails(self, move: PageMove, ready: Ready) -> None:
        ready.wait(None)
        tails = self._store.tail_hidden
        size = tails.shape[1] * tails.element_size()
        self._send(
            [tails.data_ptr() + page * size for page in move.sources],
            [self._memory.tails + page * size for page in move.targets],
            size,
        )

    def close(self) -> None:
        self._engine.unregister_memory(self._staging.data_ptr())
        if not self._is_clear:
            _UNCLEAR.append(self._staging)

    def _send(self, here: list[int], there: list[int], size: int) -> None:
        sizes = [size] * len(here)
        if self._engine.batch_transfer_sync_write(self._memory.session, here, there, sizes) != 0:
            self._is_clear = False
            raise TransferFailed(f"a write to {self._memory.session} failed")
