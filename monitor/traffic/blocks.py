"""A prompt as salted hashes of its blocks: equal beginnings show, words do not. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from monitor.traffic.trace import BLOCK_TOKENS

BYTES_PER_TOKEN = 4  # of UTF-8, about right for English and, by bytes, for Chinese too
_BLOCK_BYTES = BLOCK_TOKENS * BYTES_PER_TOKEN
_ID_BITS = 53  # what every reader of JSON keeps exactly

# In the order in which a template makes a prompt of them, over all routes.
_FIELDS = (
    "tools",
    "system",
    "instructions",
    "messages",
    "prompt",
    "text",
    "input_ids",
    "input",
)


@dataclass(frozen=True, slots=True)
class PromptShape:
    """What is kept of a prompt.

    Attributes:
        tokens: exact for token ids, else estimated.
        hashes: one for each block of 512 tokens, the last one perhaps not full.
    """

    tokens: int
    hashes: list[int]


def prompt_shape(body: Mapping[str, Any], salt: bytes) -> PromptShape:
    """The shape of a request's prompt.

    Each hash covers its block and all before it, so that equal hashes mean equal beginnings.

    Args:
        body: decoded request; JSON numbers, texts, lists and objects only.
        salt: up to 64 bytes. Who knows it can test whether a guessed prompt was there.
    """
    hashes: list[int] = []
    tokens, before = 0, b""
    for block, size in _blocks(body):
        before = blake2b(before + block, digest_size=16, key=salt).digest()
        hashes.append(int.from_bytes(before[:8]) >> (64 - _ID_BITS))
        tokens += size
    return PromptShape(max(1, tokens), hashes)


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
    """Blocks in order, each with its number of tokens."""
    ids = next((body[name] for name in ("input_ids", "prompt") if _is_ids(body.get(name))), None)
    if ids is not None:
        for start in range(0, len(ids), BLOCK_TOKENS):
            part = ids[start : start + BLOCK_TOKENS]
            yield msgspec.json.encode(part), len(part)
        return
    # A conversation's JSON is the beginning of its next turn's JSON, but for the closing bracket.
    parts = [msgspec.json.encode(body[name]) for name in _FIELDS if body.get(name) is not None]
    text = b"\x00".join(part.rstrip(b"]") for part in parts)
    for start in range(0, len(text), _BLOCK_BYTES):
        part = text[start : start + _BLOCK_BYTES]
        yield part, -(-len(part) // BYTES_PER_TOKEN)


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], int)
