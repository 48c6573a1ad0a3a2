"""What a request asks of a replica: how many tokens, and which prefix others may share. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

_CHARACTERS_PER_TOKEN = 4
# Long enough to tell conversations apart, short enough that all turns of one share it.
_PREFIX_CHARACTERS = 1024
_DEEPEST = 8  # messages, their content, its parts, a tool's result in them; more is no prompt
# In the order in which a prompt is made of them, over all routes.
_PROMPT_FIELDS = ("system", "instructions", "messages", "prompt", "text", "input_ids", "input")


@dataclass(frozen=True, slots=True)
class Demand:
    """What is known of a request's cost before it runs.

    Attributes:
        prompt_tokens: estimated where the prompt is text.
        max_tokens: the client's own limit of the answer, ``None`` if it named none.
        prefix_key: equal for requests whose prompts begin alike, ``None`` without a prompt.
    """

    prompt_tokens: int = 0
    max_tokens: int | None = None
    prefix_key: int | None = None


UNKNOWN_DEMAND = Demand()


def demand_of(
    body: Mapping[str, Any], model: str, max_tokens: int | None, *, wants_prefix: bool = True
) -> Demand:
    """The demand of a decoded generation request, whatever its route.

    Args:
        wants_prefix: else there is no ``prefix_key``: nobody asks for it.
    """
    tokens, head, room = 0, [model], _PREFIX_CHARACTERS
    for field in _PROMPT_FIELDS:
        for size, text in _parts(body.get(field)):
            tokens += size
            if wants_prefix and room > 0:
                head.append(text[:room])
                room -= len(text)
    key = hash_key("\x00".join(head)) if tokens and wants_prefix else None
    return Demand(tokens, max_tokens, key)


def hash_key(text: str) -> int:
    """A place on the ring, the same in every process."""
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest())


def _parts(value: object, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Sizes in tokens and texts, in order; what is not text (images, tools) counts nothing."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        if value:
            yield len(value) // _CHARACTERS_PER_TOKEN + 1, value
    elif isinstance(value, list):
        if value and isinstance(value[0], int):
            yield len(value), ",".join(map(str, value[: _PREFIX_CHARACTERS // 4]))
        else:
            for item in value:
                yield from _parts(item, depth + 1)
    elif isinstance(value, dict):
        yield from _parts(value.get("content"), depth + 1)
        yield from _parts(value.get("text"), depth + 1)
