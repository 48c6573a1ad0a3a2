"""KV pages between processes of one machine: the prefill maps the decode's memory and writes there.

One-sided, as Mooncake's writes are, and without a library: shared memory on a CPU, CUDA's IPC
handles on a GPU (both processes on the same one). torch shares storages between processes in the
same way; its own wire format is a pickle, which a peer could use to run code, so the fields of the
handle are sent instead. The CUDA side compiles nowhere in the tests and was not run.
"""

import base64
import re
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import Tensor

from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.transport import LocalPages, Mapped, same
from inference_backend.errors import TransferFailed
from inference_backend.kv.store import KvStore

NAME = "shared"


class Handle(msgspec.Struct, frozen=True):
    """What another process needs to map a storage.

    Attributes:
        device: ``cpu`` or ``cuda``.
        fields: of torch's handle, in its order; bytes as base64 where ``is_bytes`` says so.
    """

    device: str
    fields: list[int | str | bool]
    is_bytes: list[bool]


class Handles(msgspec.Struct, frozen=True):
    """The store's ``blocks`` and ``tail_hidden``."""

    blocks: Handle
    tails: Handle


class SharedTransport:
    """One process's end.

    ``place``: where a layer lies in ``store``, if not all are there. It can then only write.
    """

    def __init__(self, store: KvStore, place: Callable[[int], int] = same) -> None:
        self._store, self._place = store, place

    def describe(self) -> Memory:
        """The store's memory becomes shared; its tensors stay valid."""
        handles = Handles(share(self._store.blocks), share(self._store.tail_hidden))
        session = msgspec.json.encode(handles).decode()
        return Memory(transport=NAME, session=session, pages=self._store.blocks.shape[1])

    def reach(self, memory: Memory) -> LocalPages:
        if memory.transport != NAME:
            raise TransferFailed(
                f"the decode side uses the transport {memory.transport}, this prefill {NAME}"
            )
        store = self._store
        try:
            handles = msgspec.json.decode(memory.session, type=Handles)
            shape = (store.num_layers + 1, memory.pages, store.blocks.shape[2])
            blocks = mapped(handles.blocks, store.blocks, shape)
            tails = mapped(handles.tails, store.tail_hidden, (memory.pages + 1, store.hidden_size))
        except (RuntimeError, ValueError, TypeError, msgspec.MsgspecError) as error:
            raise TransferFailed(f"the decode side's memory cannot be mapped: {error}") from error
        return LocalPages(store, Mapped(blocks.view(torch.int64), tails), self._place)

    def close(self) -> None:
        """The memory goes when both processes are gone."""


def share(tensor: Tensor) -> Handle:
    """Puts a tensor's storage where other processes of the machine can map it."""
    storage: Any = tensor.untyped_storage()
    if tensor.is_cuda:
        return encode_handle("cuda", storage._share_cuda_())
    return encode_handle("cpu", storage._share_filename_cpu_())


def mapped(handle: Handle, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor of the other process, of the type and on the kind of device of ``like``.

    Raises:
        RuntimeError, ValueError, TypeError: it is not there, too small, or of another device.
    """
    if handle.device != like.device.type:
        raise ValueError(f"it is on {handle.device}, ours on {like.device.type}")
    kind: Any = torch.UntypedStorage
    fields = decode_fields(handle)
    storage = kind._new_shared_cuda(*fields) if like.is_cuda else _named(kind, fields)
    target: Any = torch.empty(0, dtype=like.dtype, device=like.device)
    needed = like.element_size() * torch.Size(shape).numel()
    if storage.nbytes() < needed:
        raise ValueError(f"it has {storage.nbytes()} bytes, and {needed} are needed")
    tensor: Tensor = target.set_(storage, 0, shape)
    return tensor


def _named(kind: Any, fields: list[Any]) -> Any:
    """A peer says the name: it can only be one that torch gives, no other file of the system's."""
    manager, name, _ = fields
    is_ours = isinstance(manager, bytes) and manager.endswith(b"/manager.sock")
    if not (is_ours and isinstance(name, bytes) and re.fullmatch(rb"/torch_\w+", name)):
        raise ValueError("the handle is none of torch's")
    return kind._new_shared_filename_cpu(*fields)


def encode_handle(device: str, fields: tuple[Any, ...]) -> Handle:
    return Handle(
        device,
        [base64.b64encode(each).decode() if isinstance(each, bytes) else each for each in fields],
        [isinstance(each, bytes) for each in fields],
    )


def decode_fields(handle: Handle) -> list[Any]:
    """Raises ``ValueError`` for what is no handle."""
    return [
        base64.b64decode(str(each), validate=True) if is_bytes else each
        for each, is_bytes in zip(handle.fields, handle.is_bytes, strict=True)
    ]
