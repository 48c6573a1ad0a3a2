"""What prefill and decode say to each other: JSON lines over one TCP connection a pair."""

import msgspec

from inference_backend.errors import TransferFailed
from inference_backend.kv.store import KvStore

MAX_LINE_BYTES = 4 * 1024 * 1024
VERSION = 1


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What must be equal for pages of one engine to mean the same in another."""

    model: str
    page_size: int
    dtype: str
    layers: int
    block_bytes: int
    hidden_size: int

    def difference(self, other: "Layout") -> str | None:
        """The first field that differs, in words; ``None`` if there is none."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name} is {theirs!r} there and {mine!r} here"
        return None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Where one-sided writes go.

    Attributes:
        transport: ``local``, ``shared`` or ``mooncake``.
        session: how the transport finds the other side.
        blocks, tails: addresses of the store's ``blocks`` and ``tail_hidden``; for ``mooncake``.
        pages: pages of the store, scratch included.
    """

    transport: str
    session: str
    blocks: int = 0
    tails: int = 0
    pages: int


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Decode's first line."""

    version: int = VERSION
    layout: Layout
    memory: Memory


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """Prefill's first line, if the layouts fit."""

    layout: Layout


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """Prefill's only line, if they do not."""

    reason: str


class Offer(msgspec.Struct, frozen=True, kw_only=True, tag="offer"):
    """Decode lends pages: place ``first + i`` of the prompt goes to page ``pages[i]``.

    ``epochs`` are their allocations, which the prefill writes beside the data.
    """

    room: int
    first: int
    pages: list[int]
    epochs: list[int]


class Abort(msgspec.Struct, frozen=True, kw_only=True, tag="abort"):
    """Decode asks for its pages back."""

    room: int


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """Prefill's last word on a room: ``done``, ``failed``, ``safe`` or ``unknown``.

    ``is_tainted``: what it sent was computed from wrong cache, as its own sanitizer found.
    """

    room: int
    event: str
    message: str = ""
    is_tainted: bool = False


FromDecode = Hello | Offer | Abort
FromPrefill = Welcome | Refusal | Report

encode = msgspec.json.encode
_decode_from_decode = msgspec.json.Decoder(FromDecode)
_decode_from_prefill = msgspec.json.Decoder(FromPrefill)


def read_from_decode(line: bytes) -> FromDecode:
    """Raises ``TransferFailed`` for a line that is no message."""
    try:
        message: FromDecode = _decode_from_decode.decode(line)
    except msgspec.MsgspecError as error:
        raise TransferFailed(f"the decode side sent what is no message: {error}") from error
    return message


def read_from_prefill(line: bytes) -> FromPrefill:
    """Raises ``TransferFailed`` for a line that is no message."""
    try:
        message: FromPrefill = _decode_from_prefill.decode(line)
    except msgspec.MsgspecError as error:
        raise TransferFailed(f"the prefill side sent what is no message: {error}") from error
    return message


def layout_of(store: KvStore, model: str) -> Layout:
    return Layout(
        model=model,
        page_size=store.page_size,
        dtype=str(store.data.dtype).removeprefix("torch."),
        layers=store.num_layers,
        block_bytes=store.blocks.shape[2],
        hidden_size=store.tail_hidden.shape[1],
    )
