"""The class of every UTF-16 unit: which alphabet, punctuation of whom, or nothing a text has."""

import unicodedata

LATIN = "l"
CYRILLIC = "y"
GREEK = "g"
# Scripts whose words stand between blanks: two of them inside a word are a sign of damage.
# Arabic, Hebrew and Indic prefixes and suffixes are never glued to Latin words without a hyphen.
ALPHABETS = frozenset(b"lygrhadbpjotekiGEO")
# Scripts without blanks, or (Hangul) with particles that are glued to any word.
UNSPACED = frozenset(b"CKTLBMH")
OTHER, BLANK, FOREIGN_MARK = "#", " ", "f"
REPLACEMENT, CONTROL, PRIVATE, UNASSIGNED, STACKED = "R", "X", "P", "U", "m"

_RANGES = (
    (0x41, 0x5A, LATIN), (0x61, 0x7A, LATIN), (0xAA, 0xAA, LATIN), (0xBA, 0xBA, LATIN),
    (0xC0, 0xD6, LATIN), (0xD8, 0xF6, LATIN), (0xF8, 0x2AF, LATIN), (0x1E00, 0x1EFF, LATIN),
    (0x370, 0x3FF, GREEK), (0x1F00, 0x1FFF, GREEK), (0x400, 0x52F, CYRILLIC),
    (0x531, 0x587, "r"), (0x5D0, 0x5F4, "h"), (0x620, 0x6FF, "a"), (0x750, 0x77F, "a"),
    (0x8A0, 0x8FF, "a"), (0xFB50, 0xFDFF, "a"), (0xFE70, 0xFEFC, "a"), (0x900, 0x97F, "d"),
    (0x980, 0x9FF, "b"), (0xA00, 0xA7F, "p"), (0xA80, 0xAFF, "j"), (0xB00, 0xB7F, "o"),
    (0xB80, 0xBFF, "t"), (0xC00, 0xC7F, "e"), (0xC80, 0xCFF, "k"), (0xD00, 0xD7F, "i"),
    (0xD80, 0xDFF, "i"), (0xE00, 0xE7F, "T"), (0xE80, 0xEFF, "L"), (0xF00, 0xFFF, "B"),
    (0x1000, 0x109F, "M"), (0x10A0, 0x10FF, "G"), (0x1100, 0x11FF, "K"), (0x1200, 0x139F, "E"),
    (0x1780, 0x17FF, "H"), (0x1800, 0x18AF, "O"), (0x3040, 0x30FF, "C"), (0x3105, 0x312F, "C"),
    (0x3130, 0x318F, "K"), (0x31F0, 0x31FF, "C"), (0x3400, 0x9FFF, "C"), (0xAC00, 0xD7AF, "K"),
    (0xF900, 0xFAFF, "C"), (0x3001, 0x303F, FOREIGN_MARK), (0xFF01, 0xFF0F, FOREIGN_MARK),
    (0xFF1A, 0xFF20, FOREIGN_MARK), (0x60C, 0x60C, FOREIGN_MARK), (0x61B, 0x61F, FOREIGN_MARK),
    (0xE000, 0xF8FF, PRIVATE), (0xDB80, 0xDBFF, PRIVATE), (0xFFFD, 0xFFFD, REPLACEMENT),
    (0x0, 0x8, CONTROL), (0xE, 0x1A, CONTROL), (0x1C, 0x1F, CONTROL), (0x7F, 0x84, CONTROL),
    (0x86, 0x9F, CONTROL), (0x300, 0x36F, STACKED), (0x1AB0, 0x1AFF, STACKED),
    (0x1DC0, 0x1DFF, STACKED), (0x20D0, 0x20FF, STACKED), (0x20, 0x20, BLANK),
    (0x9, 0xD, BLANK), (0xA0, 0xA0, BLANK), (0x85, 0x85, BLANK), (0x2000, 0x200A, BLANK),
)  # fmt: skip


def _classes() -> bytes:
    classes = bytearray(OTHER.encode() * 0x10000)
    for code in range(0x370, 0x10000):
        if unicodedata.category(chr(code)) == "Cn":
            classes[code] = ord(UNASSIGNED)
    for first, last, name in _RANGES:
        for code in range(first, last + 1):
            if classes[code] != ord(UNASSIGNED):
                classes[code] = ord(name)
    return bytes(classes)


CLASS_OF_UNIT = _classes()
