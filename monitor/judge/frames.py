"""Messages between the proxy and its judge: four bytes of length, then MessagePack."""

from typing import BinaryIO, TypeAlias

import msgspec

from monitor.judge.opinion import SecondOpinion

HEAD_BYTES = 4
MAX_FRAME_BYTES = 1024 * 1024


class Question(msgspec.Struct, frozen=True, tag=True):
    """A text to judge. Only ever in memory and in the pipe between the two processes."""

    text: str
    onset_character: int | None = None

    def __repr__(self) -> str:
        return f"Question({len(self.text)} characters)"


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The model cannot be loaded; why."""

    reason: str


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The opinion on the last question, and how long it took."""

    opinion: SecondOpinion
    seconds: float


class Unanswered(msgspec.Struct, frozen=True, tag=True):
    """The last question could not be judged: the name of the error, none of its words."""

    error: str


Reply: TypeAlias = Ready | Failed | Answered | Unanswered
_REPLY_DECODER: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def pack(message: Question | Reply) -> bytes:
    """A whole frame."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


def body_length(head: bytes) -> int:
    """Of a frame with this head.

    Raises:
        ValueError: longer than any frame of ours: not a judge at the other end.
    """
    length = int.from_bytes(head, "big")
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    return length


def read_question(stream: BinaryIO) -> Question | None:
    """The next one, blocking; ``None`` once the other end is closed."""
    head = stream.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    body = stream.read(body_length(head))
    return msgspec.msgpack.decode(body, type=Question)


def unpack_reply(body: bytes) -> Reply:
    """A reply.

    Raises:
        msgspec.DecodeError: not one of ours.
    """
    return _REPLY_DECODER.decode(body)
