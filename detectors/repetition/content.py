"""What a repeated stretch is made of: prose, code, data or drawing. Knows no period.

Honest text repeats itself too: blank tables, grids and data rows for many copies, code for nearly
two (a file written again with a change). Sentences do not.
"""

import enum
import re
from typing import NamedTuple

# Counted in UTF-8, a letter outside ASCII by its first byte. U+2000 to U+2FFF (first byte 0xE2:
# dashes, arrows, box drawing, Braille) are no letters; emoji are neither letter nor mark.
_LETTERS = bytes(
    [
        *range(ord("A"), ord("Z") + 1),
        *range(ord("a"), ord("z") + 1),
        *range(0xC3, 0xE2),
        *range(0xE3, 0xF0),
    ]
)
_CODE_MARKS = b"=_{}[]<>\\|;#$%^&@~`"
_MARKS = _CODE_MARKS + b"/+0123456789\xe2"
_NOT_LETTERS = bytes(set(range(256)) - set(_LETTERS))
_NOT_CODE_MARKS = bytes(set(range(256)) - set(_CODE_MARKS))
_NOT_MARKS = bytes(set(range(256)) - set(_MARKS))

# Shares against letters, in windows of 64 tokens. Marks of code: prose, lists and recipes 0.0
# (third quartile) and 0.03 (90 %), Python source 0.074 (median). All marks: source code 0.21 (third
# quartile) and 0.36 (95 %).
_CODE_FROM = 0.053
_DATA_FROM = 0.35

_NUMBERING = re.compile(rb"\d*[.):]?\s*(?:\d+[.):]\s+){2,}\d*[.):]?\s*")


class Content(enum.IntEnum):
    """Kinds of stretches; all but the last in the order of how much honest ones repeat."""

    PROSE = 0
    CODE = 1
    DATA = 2  # rows of values, patterns, music notation
    DRAWING = 3  # no letters: grids, rulers, columns of numbers
    NUMBERING = 4  # numbers of list items without the items: 42. 43. 44.


class Counts(NamedTuple):
    """Characters of a stretch of UTF-8 text.

    Attributes:
        letters: of any script.
        code_marks: symbols that prose hardly uses.
        marks: those, digits and drawing characters; not the punctuation of sentences.
    """

    letters: int = 0
    code_marks: int = 0
    marks: int = 0

    def plus(self, text: bytes) -> "Counts":
        """These and the characters of ``text``."""
        return Counts(
            self.letters + len(text.translate(None, _NOT_LETTERS)),
            self.code_marks + len(text.translate(None, _NOT_CODE_MARKS)),
            self.marks + len(text.translate(None, _NOT_MARKS)),
        )


NOTHING = Counts()


def classify(counts: Counts, block: bytes) -> Content:
    """Content of a stretch.

    Without a letter and a mark (``!!!!``, blank lines, no text known) it counts as prose.

    Args:
        counts: characters of the stretch.
        block: the end of it.
    """
    letters, code_marks, marks = counts
    if marks == 0:
        return Content.PROSE
    if letters == 0:
        return Content.NUMBERING if _NUMBERING.fullmatch(block) else Content.DRAWING
    if marks >= _DATA_FROM * (letters + marks):
        return Content.DATA
    return Content.CODE if code_marks >= _CODE_FROM * (letters + code_marks) else Content.PROSE
