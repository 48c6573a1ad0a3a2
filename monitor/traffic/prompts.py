"""Prompts of a wanted length that share what the trace's prompts shared. Pure.

The same block of a trace is always the same text, in every process.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_128

import msgspec

from monitor.traffic.schedule import Planned
from monitor.traffic.words import WORDS

_CACHED_BYTES = 64 * 1024 * 1024
_PHRASES, _PHRASE_TOKENS = 1024, 8
LOWEST_ID = 256  # below lie bytes and special tokens
HIGHEST_ID = 32_000  # in every vocabulary that we know


@dataclass(frozen=True, slots=True)
class Scale:
    """How long the target finds our prompts.

    Attributes:
        tokens_per_word: of the text; only for prompts of text.
        extra_tokens: what the target adds to every prompt (a chat template).
        highest_id: token ids are below it.
    """

    tokens_per_word: float = 1.0
    extra_tokens: float = 0.0
    highest_id: int = HIGHEST_ID


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a prompt: the first ``tokens`` of the text that belongs to ``key``.

    Attributes:
        is_shared: other requests may have it too.
    """

    key: str
    tokens: int
    is_shared: bool = True


def parts_of(planned: Planned, extra_tokens: float = 0.0) -> Iterator[Part]:
    """The pieces of one prompt.

    What the trace's blocks do not cover (it has none, or the engine counted more than the recorder
    estimated) is text of this request alone.
    """
    request, copy_number = planned.request, planned.copy_number
    left = max(1, round(request.input_tokens - extra_tokens))
    size = request.block_tokens
    for block in request.blocks:
        if left <= 0:
            return
        yield Part(f"{copy_number}/{block}", min(size, left))
        left -= size
    for index in range(-(-left // size)):
        key = f"{copy_number}/own/{planned.number}/{index}"
        yield Part(key, min(size, left - index * size), is_shared=False)


class TextPrompts:
    """Prompts as encoded JSON texts.

    Args:
        corpus: words of a text to cut the blocks from; without one, common words at random.
        seed: another one gives another text everywhere, so that no cache of an earlier run helps.
    """

    def __init__(self, scale: Scale, seed: str, corpus: Sequence[str] = ()) -> None:
        self._scale = scale
        self._seed = seed
        self._corpus = corpus
        self._blocks = _Cache(_CACHED_BYTES)

    def encoded(self, planned: Planned) -> msgspec.Raw:
        """The prompt of one request."""
        ratio = self._scale.tokens_per_word
        pieces = [
            self._piece(part, max(1, round(part.tokens / ratio)))
            for part in parts_of(planned, self._scale.extra_tokens)
        ]
        return msgspec.Raw(b'"' + b" ".join(pieces) + b'"')

    def _piece(self, part: Part, words: int) -> bytes:
        if not part.is_shared:
            return self._write(part.key, words)
        return self._blocks.get(f"{words}/{part.key}", lambda: self._write(part.key, words))

    def _write(self, key: str, words: int) -> bytes:
        if self._corpus:
            drawn = shake_128(f"{self._seed}/{key}".encode()).digest(8)
            start = int.from_bytes(drawn) % len(self._corpus)
            chosen = [self._corpus[(start + i) % len(self._corpus)] for i in range(words)]
        else:
            drawn = shake_128(f"{self._seed}/{key}".encode()).digest(words)
            chosen = [WORDS[value] for value in drawn]
        return msgspec.json.encode(" ".join(chosen))[1:-1]


class IdPrompts:
    """Prompts as encoded lists of token ids: exactly as long as in the trace.

    A block is made of phrases of eight ids at random, 1,024 of them: to draw each id by itself took
    a third of the generator's time.
    """

    def __init__(self, scale: Scale, seed: str) -> None:
        self._seed = seed
        self._blocks = _Cache(_CACHED_BYTES)
        span = max(1, min(scale.highest_id, HIGHEST_ID) - LOWEST_ID)
        drawn = array("H")
        drawn.frombytes(shake_128(seed.encode()).digest(2 * _PHRASES * _PHRASE_TOKENS))
        ids = [LOWEST_ID + value % span for value in drawn]
        self._phrases = [
            ids[start : start + _PHRASE_TOKENS] for start in range(0, len(ids), _PHRASE_TOKENS)
        ]
        self._encoded = [msgspec.json.encode(phrase)[1:-1] for phrase in self._phrases]

    def encoded(self, planned: Planned) -> msgspec.Raw:
        """The prompt of one request."""
        pieces = [self._piece(part) for part in parts_of(planned)]
        return msgspec.Raw(b"[" + b",".join(pieces) + b"]")

    def _piece(self, part: Part) -> bytes:
        key, tokens = part.key, part.tokens
        if not part.is_shared:
            return self._write(key, tokens)
        return self._blocks.get(f"{tokens}/{key}", lambda: self._write(key, tokens))

    def _write(self, key: str, tokens: int) -> bytes:
        whole, rest = divmod(tokens, _PHRASE_TOKENS)
        drawn = array("H")
        drawn.frombytes(shake_128(f"{self._seed}/{key}".encode()).digest(2 * (whole + 1)))
        chosen = [self._encoded[value % _PHRASES] for value in drawn[:whole]]
        if rest:
            last = self._phrases[drawn[whole] % _PHRASES]
            chosen.append(msgspec.json.encode(last[:rest])[1:-1])
        return b",".join(chosen)


Prompts = TextPrompts | IdPrompts


class _Cache:
    """Encoded blocks that were used last, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str, write: Callable[[], bytes]) -> bytes:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        made = self._kept[key] = write()
        self._bytes += len(made)
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
