"""Damaged text made from healthy text: what a sick generation looks like, without one at hand."""

import random
import re
import string
from collections.abc import Callable, Sequence

_WORD = re.compile(r"(?<!\S)\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_GLUE = ("", "", "", " ", " ", " ", " ", "\n", ", ", ".", "_", "-", "(", ")", "'", '"', "/", ":")
SOUP_CHARACTERS = 700


class SoupKitchen:
    """Cooks damaged texts from stocks of healthy words.

    Args:
        stocks: per group of the corpus some healthy texts.
        seed: of every choice; equal seeds cook equal soups.
    """

    def __init__(self, stocks: dict[str, list[str]], seed: int) -> None:
        self._choice = random.Random(seed)
        self._stocks = stocks
        self._groups = sorted(stocks)
        self._english = [name for name in self._groups if name.startswith("prose:")]
        self._languages = [name for name in self._groups if name.startswith("lang:")]
        self._latin = [name for name in self._languages if _is_latin(stocks[name])]
        self.recipes: dict[str, Callable[[], str]] = {
            "words": self.words_of_one_language,
            "near_words": self.words_of_one_text,
            "english_words": self.english_words,
            "pieces": self.pieces_of_few_languages,
            "latin_pieces": self.latin_pieces,
            "all_pieces": self.pieces_of_all_scripts,
            "identifiers": self.identifiers,
            "phrases": self.phrases,
            "few_pieces": self.few_pieces,
            "mash": self.keyboard_mash,
            "ascii": self.symbols,
            "mojibake": self.mojibake,
            "byte_letters": self.byte_letters,
            "content_words": self.content_words,
        }

    def _text(self, groups: Sequence[str]) -> str:
        return self._choice.choice(self._stocks[self._choice.choice(groups)])

    def _word(self, text: str) -> str:
        start = self._choice.randrange(len(text))
        found = _WORD.search(text, start + 1) or _WORD.search(text)
        return found[0] if found else "a"

    def _piece(self, text: str) -> str:
        """A token-like piece: a whole word with its space, or a part of one, often without."""
        word = self._word(text)
        if self._choice.random() < 0.4:
            return f" {word}"
        letters = _LETTERS.search(word)
        word = letters[0] if letters and self._choice.random() < 0.8 else word
        start = self._choice.randrange(max(1, len(word) - 1))
        part = word[start : start + self._choice.randint(1, 6)]
        return f" {part}" if self._choice.random() < 0.35 else part

    def _cook(self, part: Callable[[], str]) -> str:
        parts: list[str] = []
        length = 0
        while length < SOUP_CHARACTERS:
            parts.append(part())
            length += len(parts[-1])
        return "".join(parts)

    def words_of_one_language(self) -> str:
        group = self._choice.choice(self._languages)
        return self._cook(lambda: f" {self._word(self._text([group]))}")

    def english_words(self) -> str:
        return self._cook(lambda: f" {self._word(self._text(self._english))}")

    def words_of_one_text(self) -> str:
        words = self._text(self._languages).split()
        self._choice.shuffle(words)
        return " ".join(words)

    def phrases(self) -> str:
        """Two or three words in order, then two or three from elsewhere."""
        group = self._choice.choice([*self._english, self._choice.choice(self._languages)])

        def part() -> str:
            text = self._text([group])
            start = self._choice.randrange(max(1, len(text) - 20))
            return text[start : start + self._choice.randint(6, 18)]

        return self._cook(part)

    def pieces_of_few_languages(self) -> str:
        groups = self._choice.sample(self._groups, 3)
        return self._cook(lambda: self._piece(self._text(groups)))

    def latin_pieces(self) -> str:
        groups = [*self._english, self._choice.choice(self._latin), "code:py"]
        return self._cook(
            lambda: self._piece(self._text(groups)) + self._rarely(self._choice.choice(_GLUE))
        )

    def pieces_of_all_scripts(self) -> str:
        return self._cook(lambda: self._piece(self._text(self._groups)))

    def identifiers(self) -> str:
        codes = [name for name in self._groups if name.startswith("code:")]

        def part() -> str:
            piece = self._piece(self._text(codes))
            piece = piece.title() if self._choice.random() < 0.4 else piece
            return piece.strip() if self._choice.random() < 0.5 else piece

        return self._cook(part)

    def few_pieces(self) -> str:
        """Commas, particles and a handful of pieces in no order."""
        few = [self._piece(self._text(self._groups)) for _ in range(self._choice.randint(4, 12))]
        few += [",", " ,", " ", "n", "(", " a"]
        return self._cook(lambda: self._choice.choice(few))

    def keyboard_mash(self) -> str:
        keys = self._choice.choice([string.ascii_lowercase, "bcdfghjklmnpqrstvwxyz", "asdfghjkl;"])
        space = self._choice.choice([0.0, 0.05, 0.2])
        return self._cook(lambda: self._choice.choice(keys) + self._with(space, " "))

    def symbols(self) -> str:
        signs = string.digits + string.punctuation + self._choice.choice(["", "ABCDEFGH", " \n"])
        return self._cook(lambda: self._choice.choice(signs))

    def mojibake(self) -> str:
        """UTF-8 read as an 8-bit character set."""
        text = self._text(self._languages)[:SOUP_CHARACTERS]
        page = self._choice.choice(["cp437", "cp1252", "latin-1"])
        return text.encode().decode(page, errors="replace")

    def byte_letters(self) -> str:
        """Byte-level BPE vocabulary that nobody decoded."""
        text = self._cook(lambda: self._piece(self._text(self._groups)))
        return text.encode().decode("latin-1").translate(BYTE_LETTERS)

    def content_words(self) -> str:
        """The long words of one text in order, without the short ones and the punctuation."""
        text = self._text([*self._english, self._choice.choice(self._latin)])
        return " ".join(word for word in re.findall(r"[^\W\d_]{4,}", text.lower()))

    def _with(self, chance: float, text: str) -> str:
        return text if self._choice.random() < chance else ""

    def _rarely(self, text: str) -> str:
        return self._with(0.12, text)


def _is_latin(texts: Sequence[str]) -> bool:
    sample = texts[0][:400]
    return sum(letter < "ɐ" for letter in sample) > 0.95 * len(sample)


def _byte_letters() -> dict[int, str]:
    """GPT-2's table: the printable bytes stand for themselves, the rest from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(256 + index) for index, byte in enumerate(others)}


BYTE_LETTERS = _byte_letters()
