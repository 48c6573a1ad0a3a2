"""Chains of words that never come to a comma, a full stop or a line end. Knows no tokens."""

import re

from detectors.text.rows import FEATURES, SHORT_BLOCK

_WORDS, _LOWER, _UPPER = (FEATURES.index(name) for name in ("words", "lower", "upper"))
_DIGITS, _SYMBOLS = FEATURES.index("digits"), FEATURES.index("symbols")
_NOT_ASCII = FEATURES.index("not_ascii")
PROSE_LETTERS = 5.0  # a word: fluent prose needs many short ones, a chain of nouns has none
_STOP = re.compile(r"[^A-Za-z0-9 '-]")
FEWEST_WORDS = 30
MOST_LETTERS = 10.0  # a word: beyond it these are no words
MOST_ODD = 3  # digits or symbols in 32 characters
MOST_NOT_ASCII = 5  # languages that are not written in Latin letters punctuate otherwise


class RunOn:
    """Words since the last punctuation.

    The score is their letters less 5 a word, and 0 for few words.
    """

    __slots__ = ("letters", "words")

    def __init__(self) -> None:
        self.words = 0
        self.letters = 0

    @property
    def score(self) -> float:
        if self.words < FEWEST_WORDS or self.letters > MOST_LETTERS * self.words:
            return 0.0
        return self.letters - PROSE_LETTERS * self.words

    def skip(self, block: str) -> None:
        """The same without a row, for plain ASCII."""
        if _STOP.search(block):
            self.words = self.letters = 0
        elif self.words:
            blanks = block.count(" ")
            self.words += blanks
            self.letters += len(block) - blanks

    def read(self, row: bytes, classes: bytes) -> None:
        """``classes`` is one letter a byte of the block, ``row`` its features."""
        if b"." in classes or b"\n" in classes:
            self.words = self.letters = 0  # what follows in this block is not worth the search
            return
        share = len(classes) / SHORT_BLOCK
        if (
            row[_DIGITS] <= MOST_ODD * share
            and row[_SYMBOLS] <= MOST_ODD * share
            and row[_NOT_ASCII] <= MOST_NOT_ASCII * share
        ):
            self.words += row[_WORDS]
            self.letters += row[_LOWER] + row[_UPPER]
        else:
            self.words = self.letters = 0
