"""Turns blocks of text into rows of small numbers. Knows no stream, no tokens and no verdicts."""

from itertools import repeat
from struct import Struct
from zlib import crc32

from detectors.text.tables import ASCII_GRAMS, NEUTRAL, OTHER_GRAMS, WORD_KEY

SHORT_BLOCK = 32  # characters
LONG_BLOCK = 64
LONGEST_WORD_BYTES = 48
RECENT_WORDS = 256
FEATURES = (
    "words", "unknown_words", "word_weight", "gram_weight", "lower", "upper", "digits",
    "line_ends", "punctuation", "symbols", "not_ascii", "lower_then_upper", "glued_punctuation",
    "recent_words",
)  # fmt: skip
CONTROL = b"c"

_LOWER, _UPPER, _DIGIT, _SPACE, _LINE_END = b"a", b"A", b"0", b" ", b"\n"
_PUNCTUATION, _SYMBOL, _LEAD, _CONTINUATION = b".", b"#", b"n", b"z"
_SENTENCE_SIGNS = b",.;:!?)]"
_ESCAPE = b"\x1b"  # colours of a terminal: no sign of damage


def _class_of(byte: int) -> int:
    letter = bytes((byte,))
    tests = (
        (0x80 <= byte < 0xC0, _CONTINUATION),
        (byte >= 0xC0, _LEAD),
        (letter.islower(), _LOWER),
        (letter.isupper(), _UPPER),
        (letter.isdigit(), _DIGIT),
        (letter in b"\n\r", _LINE_END),
        (letter.isspace() or letter == _ESCAPE, _SPACE),
        (byte < 0x20 or byte == 0x7F, CONTROL),
        (letter in _SENTENCE_SIGNS, _PUNCTUATION),
    )
    return next((name for is_it, name in tests if is_it), _SYMBOL)[0]


def _fold_of(byte: int) -> int:
    letter = bytes((byte,))
    if byte >= 0x80 or letter == b"'":
        return byte
    return letter.lower()[0] if letter.isalpha() else 0x20


_CLASS = bytes(map(_class_of, range(256)))
_FOLD = bytes(map(_fold_of, range(256)))
_ASCII_WINDOWS = {size: Struct(f"<{size // 4}I") for size in (SHORT_BLOCK, LONG_BLOCK)}
_OTHER_WINDOWS = {size: Struct(f"<{size // 2}I") for size in (SHORT_BLOCK, LONG_BLOCK)}


def fold(data: bytes) -> bytes:
    """Lower case, and a blank for every ASCII character that is no letter and no apostrophe."""
    return data.translate(_FOLD)


class RowReader:
    """Reads one stream block by block; remembers a half word and a mark of each recent word."""

    __slots__ = ("_carry", "_recent", "_tail")

    def __init__(self) -> None:
        self._carry = b""
        self._tail = "   "
        self._recent = bytearray(RECENT_WORDS)

    def read(
        self, block: str, words: dict[int, int], ascii_grams: bytes, other_grams: bytes
    ) -> tuple[bytes, bytes]:
        """The row (one byte per feature, the weights scaled and centred at 128) and the classes.

        The classes are one letter a byte of the block in UTF-8.
        """
        if block.isascii():
            data = (self._tail + block).encode("ascii", "replace")
            grams = ascii_gram_sum(data, len(block), ascii_grams)
            data = data[3:]
        else:
            grams = other_gram_sum(self._tail[-1] + block, len(block), other_grams)
            data = block.encode("utf-8", "surrogatepass")
        self._tail = block[-3:]
        hashes = list(map(crc32, self._words(data)))
        weights = list(map(words.get, map(WORD_KEY.__and__, hashes), repeat(0)))
        unknown = weights.count(0)
        weight = ((sum(weights) - NEUTRAL * (len(weights) - unknown)) >> 2) + NEUTRAL
        gram_weight = (grams >> 3) + NEUTRAL
        classes = data.translate(_CLASS)
        count = classes.count
        row = bytes((
            len(hashes),
            unknown,
            weight if 0 <= weight < 256 else 255 * (weight > 0),
            gram_weight if 0 <= gram_weight < 256 else 255 * (gram_weight > 0),
            count(_LOWER),
            count(_UPPER),
            count(_DIGIT),
            count(_LINE_END),
            count(_PUNCTUATION),
            count(_SYMBOL),
            count(_LEAD),
            count(b"aA"),
            count(b"a.a") + count(b"a.A"),
            self._seen_before(hashes),
        ))  # fmt: skip
        return row, classes

    def _words(self, data: bytes) -> list[bytes]:
        """Whole words up to the last blank; the rest waits for the next block."""
        text = self._carry + data.translate(_FOLD)
        cut = text.rfind(b" ")
        if cut < 0 and len(text) < LONGEST_WORD_BYTES:
            self._carry = text
            return []
        if cut < 0:
            cut = len(text)
        self._carry = text[cut:]
        return text[:cut].split()

    def _seen_before(self, hashes: list[int]) -> int:
        """Words among the last few hundred of this stream."""
        recent = self._recent
        seen = 0
        for name in hashes:
            slot, mark = name & (RECENT_WORDS - 1), name >> 24
            if recent[slot] == mark:
                seen += 1
            else:
                recent[slot] = mark
        return seen


def ascii_gram_sum(data: bytes, characters: int, weights: bytes) -> int:
    """Weights of every second window of 4 in ``characters`` + 3 bytes, centred at 0."""
    unpack = _ASCII_WINDOWS[characters].unpack_from
    windows = unpack(data) + unpack(data, 2)
    total: int = sum([weights[window % ASCII_GRAMS] for window in windows])
    return total - NEUTRAL * len(windows)


def glance(block: str, weights: bytes) -> int:
    """The same of every fourth window of a long block."""
    windows = _ASCII_WINDOWS[LONG_BLOCK].unpack(block.encode("ascii"))
    total: int = sum([weights[window % ASCII_GRAMS] for window in windows])
    return total - NEUTRAL * len(windows)


def other_gram_sum(text: str, characters: int, weights: bytes) -> int:
    """Weights of every second window of 2 UTF-16 units in the text, centred at 0."""
    data = text.encode("utf-16-le", "surrogatepass")
    windows = _OTHER_WINDOWS[characters].unpack_from(data)
    total: int = sum([weights[window % OTHER_GRAMS] for window in windows])
    return total - NEUTRAL * len(windows)
