"""Text as a sequence of bytes, one byte a symbol. Knows no stream and no verdict.

A token id is the symbol of its low byte: the low ranks (digits, punctuation) stay apart. One byte
per symbol keeps two thousand symbols in two kilobytes, and one C call compares or searches them
all. Different tokens can share a byte, but a run of dozens of equal bytes is as good as a run of
equal tokens.
"""

import re
from collections.abc import Iterable
from zlib import crc32

# Characters that fill lines. Tokenizers merge their runs: a ruler of eighty dashes is a few symbols
# here too, and not a loop of eighty.
_FILLERS = b" -=_*#~+|\t"
_RUN_MAX = 32
_WORD_MAX = 10  # longer words are cut, so that a loop within one endless word is found too

# Prose and code give about as many symbols as a vocabulary of 50,000 gives tokens (0.85 to 1.3 per
# token, median 1.05). A letter outside ASCII is a symbol.
_SYMBOL = re.compile(
    rb" ?[A-Za-z]{1,%d}|[0-9]|\n{1,2}|\.{1,4}|" % _WORD_MAX
    + b"|".join(re.escape(bytes([filler])) + b"{1,%d}" % _RUN_MAX for filler in _FILLERS)
    + rb"|[\xc0-\xff][\x80-\xbf]*|[\x00-\xff]"
)


def split_text(text: bytes) -> list[bytes]:
    """Cuts UTF-8 text into pieces; the last one may go on in the next chunk.

    Every other cut depends only on the text before it and on the character after it: the pieces
    are the same however the text arrives.
    """
    return _SYMBOL.findall(text)


def from_pieces(pieces: Iterable[bytes]) -> bytes:
    """One byte per piece, the same in every process."""
    return bytes([checksum & 255 for checksum in map(crc32, pieces)])
