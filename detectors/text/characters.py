"""Characters that no healthy text has, and scripts mixed inside words. Knows no tokens."""

import re
from array import array
from dataclasses import dataclass
from itertools import pairwise
from struct import unpack

from detectors.text.scripts import ALPHABETS, CLASS_OF_UNIT, CYRILLIC, GREEK, LATIN, UNSPACED

WINDOW_CHARACTERS = 256  # what the decayed counts stand for
DECAY = 1 - 1 / WINDOW_CHARACTERS  # per character
SETTLED_LETTERS = 200  # letters before the stream's own scripts are known
OWN_SHARE = 0.05  # of the letters: a script that is no stranger here

_LATIN, _GREEK, _CYRILLIC = ord(LATIN), ord(GREEK), ord(CYRILLIC)
_NOT_LATIN = (ALPHABETS | UNSPACED) - {_LATIN}
_STACK = re.compile(b"m{3,}")
_FOREIGN_MARK = re.compile(b"lf[l ]|[ ]f|ff")
_SHORT_CYRILLIC = re.compile(b"(?<=[ l])y{1,2}(?=[ l])")
_GLUED_UNSPACED = re.compile(b"l[%b]|[%b]l" % (bytes(UNSPACED), bytes(UNSPACED)))
# UTF-8 read as Latin-1, CP1252 or CP437, and the letters of undecoded byte-level BPE.
_LEADS = "ÂÃÐÑØÙàáâãäåæçèéêëìíðï"
_QUOTES_AND_BLANK = "\xab\xbb\xa0"  # stand after letters in healthy French
_TRAILS = (
    {chr(byte) for byte in range(0x80, 0xC0)}
    | {bytes((byte,)).decode("cp1252", "replace") for byte in range(0x80, 0xA0)}
    | {chr(code) for code in range(0x100, 0x144)}
) - {*_QUOTES_AND_BLANK, "\ufffd"}
_MOJIBAKE = re.compile(
    f"[{_LEADS}][{re.escape(''.join(sorted(_TRAILS)))}]"
    r"|Γ[ÇöÜ]|∩[╕┐]|πÇ|[╨╤╬╧][░▒▓\xa0-\xff]|(?<=\S)[ĠĊ]"
)
_LETTER_SIGNS = frozenset(b"lg#")
_DAMAGED = frozenset(b"RXPUm")


@dataclass(frozen=True, slots=True)
class Sign:
    """One kind of damage.

    Attributes:
        weight: of one character or place.
        words: how a reason names it, after its count.
    """

    weight: float
    words: str


SIGNS = (
    Sign(1.0, "U+FFFD (bytes that are no text)"),
    Sign(1.0, "control, private or unassigned characters"),
    Sign(1.0, "changes of script inside words"),
    Sign(0.7, "wrongly decoded bytes"),
    Sign(0.7, "marks and particles of a script that is a stranger here"),
    Sign(1.0, "stacks of combining marks"),
)
_WEIGHTS = tuple(sign.weight for sign in SIGNS)
BROKEN, CONTROLS, SWITCHES, MOJIBAKE, STRANGERS, STACKS = range(len(SIGNS))


class CharacterScore:
    """Decayed counts of the signs; the score is their weighted sum, 0 for a healthy text."""

    __slots__ = ("_counts", "_latin_letters", "_other_letters", "score")

    def __init__(self, latin_letters: int = 0) -> None:
        self._counts = array("f", bytes(4 * len(SIGNS)))
        self._latin_letters = latin_letters  # so far
        self._other_letters = 0
        self.score = 0.0

    def rest(self, characters: int, letters: int) -> None:
        """A block of plain ASCII without control characters."""
        self._latin_letters += letters
        if self.score > 0.0:
            self._add((0.0,) * len(SIGNS), characters)

    def read(self, block: str) -> None:
        data = block.encode("utf-16-le", "surrogatepass")
        classes = bytes(map(CLASS_OF_UNIT.__getitem__, unpack(f"<{len(data) // 2}H", data)))
        count = classes.count
        kinds = set(classes)
        self._latin_letters += count(b"l")
        self._other_letters += sum(map(count, map(_byte, kinds & _NOT_LATIN)))
        is_latin = self._is_latin
        has_switches = len(kinds & ALPHABETS) > 1
        mojibake = len(_MOJIBAKE.findall(block)) if kinds & _LETTER_SIGNS else 0
        if not (kinds & _DAMAGED or has_switches or is_latin or mojibake or self.score):
            return
        self._add((
            count(b"R"),
            count(b"X") + count(b"P") * 0.5 + count(b"U"),
            _switches(classes) if has_switches else 0.0,
            mojibake,
            _strangers(classes) if is_latin else 0,
            len(_STACK.findall(classes)) if b"mmm" in classes else 0,
        ), len(block))  # fmt: skip

    @property
    def _is_latin(self) -> bool:
        """Latin so far: marks and letters of most other scripts are strangers."""
        letters = self._latin_letters + self._other_letters
        return letters >= SETTLED_LETTERS and self._other_letters < OWN_SHARE * letters

    def _add(self, found: tuple[float, ...], characters: int) -> None:
        counts = self._counts
        decay = DECAY**characters
        score = 0.0
        for index, weight in enumerate(_WEIGHTS):
            counts[index] = counts[index] * decay + found[index]
            score += counts[index] * weight
        self.score = score if score > 0.01 else 0.0

    @property
    def leading_sign(self) -> int:
        """Index in ``SIGNS`` of the one that weighs most."""
        return max(range(len(SIGNS)), key=lambda index: self._counts[index] * _WEIGHTS[index])

    def count(self, sign: int) -> int:
        """About how many of the last ``WINDOW_CHARACTERS`` characters."""
        return round(self._counts[sign])


def _byte(value: int) -> bytes:
    return bytes((value,))


def _switches(classes: bytes) -> float:
    """Neighbours of two alphabets. Greek beside Latin may be a formula and counts a quarter."""
    total = 0.0
    for left, right in pairwise(classes):
        if left != right and left in ALPHABETS and right in ALPHABETS:
            is_formula = _GREEK in (left, right) and _LATIN in (left, right)
            total += 0.25 if is_formula else 1.0
    return total


def _strangers(classes: bytes) -> int:
    return (
        len(_FOREIGN_MARK.findall(classes))
        + len(_SHORT_CYRILLIC.findall(classes))
        + len(_GLUED_UNSPACED.findall(classes))
    )
