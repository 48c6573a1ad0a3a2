"""Healthy text that looks odd: hexadecimal, base64, DNA, tables, logs, chess, drawings and more."""

import base64
import json
import random
import re
import string
from collections.abc import Callable, Iterator, Sequence

PIECE_CHARACTERS = 1600
_WORDS = (
    "time", "node", "user", "value", "open", "error", "request", "data", "main", "page", "cache",
    "token", "worker", "index", "queue", "file", "state", "event", "table", "field", "north",
    "river", "stone",
)  # fmt: skip


def _lines(make: Callable[[], str]) -> str:
    lines: list[str] = []
    length = 0
    while length < PIECE_CHARACTERS:
        lines.append(make())
        length += len(lines[-1]) + 1
    return "\n".join(lines)


def _letters(choice: random.Random, alphabet: str, length: int) -> str:
    return "".join(choice.choices(alphabet, k=length))


def hexadecimal(choice: random.Random) -> str:
    width = choice.choice([8, 16, 32, 40, 64, 128])
    joint = choice.choice(["", " ", ":"])
    return _lines(lambda: joint.join(f"{byte:02x}" for byte in choice.randbytes(width // 2)))


def hex_dump(choice: random.Random) -> str:
    offsets = iter(range(0, 1 << 20, 16))

    def line() -> str:
        data = choice.randbytes(16)
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
        return f"{next(offsets):08x}  {' '.join(f'{byte:02x}' for byte in data)}  |{shown}|"

    return _lines(line)


def base64_text(choice: random.Random) -> str:
    width = choice.choice([48, 57, 900])
    return _lines(lambda: base64.b64encode(choice.randbytes(width)).decode())


def dna(choice: random.Random) -> str:
    alphabet = choice.choice(["ACGT", "acgt", "ACGTN", "ACDEFGHIKLMNPQRSTVWY"])
    width = choice.choice([60, 70, 80, 1600])
    return f">{_letters(choice, string.ascii_uppercase, 6)}\n" + _lines(
        lambda: _letters(choice, alphabet, width)
    )


def fastq(choice: random.Random) -> str:
    quality = "".join(map(chr, range(33, choice.choice([70, 75]))))
    width = choice.choice([36, 75, 100, 150])
    numbers = iter(range(1, 10_000))

    def record() -> str:
        name = f"@SRR{choice.randrange(10**6)}.{next(numbers)} length={width}"
        return f"{name}\n{_letters(choice, 'ACGT', width)}\n+\n{_letters(choice, quality, width)}"

    return _lines(record)


def uuids(choice: random.Random) -> str:
    def line() -> str:
        text = choice.randbytes(16).hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    return _lines(line)


def table(choice: random.Random) -> str:
    columns = choice.randint(2, 8)
    joint = choice.choice([",", ";", "\t", " | ", ", "])

    def cell() -> str:
        kinds = (str(choice.randrange(10**5)), f"{choice.random() * 100:.2f}", "",
                 choice.choice(_WORDS), choice.choice(_WORDS).title(), "-")  # fmt: skip
        return choice.choice(kinds)

    edge = "|" if "|" in joint else ""
    return _lines(lambda: edge + joint.join(cell() for _ in range(columns)) + edge)


def log(choice: random.Random) -> str:
    def line() -> str:
        stamp = f"2026-{choice.randint(1, 12):02}-{choice.randint(1, 28):02}T12:{choice.randint(0, 59):02}:{choice.randint(0, 59):02}.{choice.randrange(1000):03}Z"  # noqa: E501
        level = choice.choice(["INFO", "WARN", "DEBUG", "ERROR"])
        words = " ".join(choice.choices(_WORDS, k=choice.randint(1, 5)))
        fields = " ".join(f"{choice.choice(_WORDS)}={choice.randrange(10**6)}" for _ in range(3))
        address = ".".join(str(choice.randrange(256)) for _ in range(4))
        return f"{stamp} {level} [{choice.choice(_WORDS)}-{choice.randrange(99)}] {address} {words} {fields}"  # noqa: E501

    return _lines(line)


def chess(choice: random.Random) -> str:
    numbers = iter(range(1, 1000))

    def move() -> str:
        square = choice.choice("abcdefgh") + choice.choice("12345678")
        mark = choice.choice(["", "", "+", "x"])
        if mark == "x":
            return f"{choice.choice('NBRQabcdef')}x{square}"
        return choice.choice(["", "N", "B", "R", "Q", "K"]) + square + mark

    return _lines(lambda: " ".join(f"{next(numbers)}. {move()} {move()}" for _ in range(8)))


def esolang(choice: random.Random) -> str:
    alphabet = choice.choice(["++++---<<>>[].,", "><+-.,[]", " \t\n", "01", "Ook.!? "])
    return _lines(lambda: _letters(choice, alphabet, choice.choice([40, 80, 400])))


def drawing(choice: random.Random) -> str:
    signs = choice.choice(["/\\|_- .'`()o", "─│┌┐└┘├┤┬┴┼ ", "█▓▒░ ", "*  . ", "⠁⠃⠇⡇⣇⣧⣷⣿ ", "#  ="])
    return _lines(
        lambda: " " * choice.randrange(20) + _letters(choice, signs, choice.randint(5, 60))
    )


def regexes(choice: random.Random) -> str:
    parts = (r"\d+", r"[a-zA-Z0-9]", r"(?:", ")", "{1,3}", r"\.", "|", r"\s*", "^", "$", r"\b",
             "[^>]*", "(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)", "?", "+", r"\\", r"[\w.-]", "/",
             r"\x00-\x7f", r"\u00a0-\uffff", "abc", "https?:", "(?=", "#")  # fmt: skip
    return _lines(lambda: "".join(choice.choices(parts, k=choice.randint(5, 60))))


def records(choice: random.Random) -> str:
    def record() -> dict[str, object]:
        return {
            "id": choice.randrange(10**6),
            choice.choice(_WORDS): choice.choices(_WORDS, k=3),
            "ratio": round(choice.random(), 4),
            "is_open": choice.random() < 0.5,
            choice.choice(_WORDS): {choice.choice(_WORDS): choice.choice(_WORDS), "at": None},
        }

    indent = choice.choice([None, 2, 4])
    return _lines(lambda: json.dumps(record(), indent=indent))


def numbers_and_formulas(choice: random.Random) -> str:
    signs = ("x", "y", "n", "\\frac{a}{b}", "\\alpha", "+", "-", "=", "^2", "_i", "\\sum", "(", ")",
             "\\cdot", "\\int_0^1", "1", "2", "3.14", "\\sqrt{x}", " ", "\\\\")  # fmt: skip
    plain = choice.random() < 0.4
    if plain:
        return _lines(lambda: " ".join(str(choice.randrange(10**4)) for _ in range(12)))
    return _lines(lambda: "$" + "".join(choice.choices(signs, k=choice.randint(6, 40))) + "$")


def music(choice: random.Random) -> str:
    notes = "abcdefgABCDEFG z"
    return _lines(
        lambda: "|".join(
            "".join(choice.choice(notes) + choice.choice(["", "2", "'", "/", "3"]) for _ in "12345")
            for _ in range(4)
        )
    )


def emoji(choice: random.Random) -> str:
    faces = [chr(code) for code in (*range(0x1F600, 0x1F640), *range(0x1F300, 0x1F350))]
    return _lines(
        lambda: (
            "".join(choice.choices(faces, k=choice.randint(1, 12)))
            + choice.choice(["", " " + choice.choice(_WORDS), ": " + choice.choice(_WORDS)])
        )
    )


def settings(choice: random.Random) -> str:
    """Keys and values of services: logfmt, INI, YAML, environment."""
    joint = choice.choice(["=", ": ", " = ", '="'])
    per_line = choice.choice([1, 1, 6, 10])
    close = '"' if joint.endswith('"') else ""

    def value() -> str:
        stem = "-".join(choice.choices(_WORDS, k=choice.randint(1, 3)))
        kinds = (stem, f"/{stem.replace('-', '/')}.go:{choice.randrange(999)}",
                 str(choice.randrange(10**6)), f"{choice.random() * 99:.1f}ms", "true", "null",
                 choice.randbytes(choice.choice([3, 8])).hex(), f"{stem}.svc.local:{9000}",
                 f"v{choice.randrange(9)}.{choice.randrange(40)}.{choice.randrange(9)}",
                 base64.b64encode(choice.randbytes(9)).decode())  # fmt: skip
        return choice.choice(kinds)

    def field() -> str:
        name = choice.choice("_.-").join(choice.choices(_WORDS, k=choice.randint(1, 3)))
        name = name.upper() if joint == "=" and per_line == 1 else name
        return f"{name}{joint}{value()}{close}"

    return _lines(lambda: " ".join(field() for _ in range(per_line)))


def sampler(texts: Sequence[str], choice: random.Random) -> str:
    """One short phrase after the other, each of another language, as in tables of translations."""
    joint = choice.choice(["\n", "\n- ", ",", ";", " | ", ": "])
    width = choice.randint(1, 4)

    def phrase() -> str:
        words = choice.choice(texts).split()
        start = choice.randrange(max(1, len(words) - width))
        return " ".join(words[start : start + width])[:60]

    def line() -> str:
        name = choice.choice(["", f"{choice.choice(_WORDS)}: ", f"{choice.randrange(999)},"])
        return name + joint.join(phrase() for _ in range(choice.randint(1, 6)))

    return _lines(line)


MAKERS = (hexadecimal, hex_dump, base64_text, dna, fastq, uuids, table, log, chess, esolang,
          drawing, regexes, records, numbers_and_formulas, music, emoji, settings)  # fmt: skip


def made_texts(per_kind: int, seed: int) -> Iterator[tuple[str, str]]:
    """(group, text) of every kind; equal seeds make equal texts."""
    choice = random.Random(seed)
    for maker in MAKERS:
        for _ in range(per_kind):
            yield f"made:{maker.__name__}", maker(choice)


_SHORT_WORD = re.compile(r"(?<=\w) \w{1,4}(?= \w)")
_LONG_WORD = re.compile(r"[A-Za-z]{4,}(?: [a-z]{4,}){0,3}")
_MARKS = (
    "\N{GLOWING STAR}",
    "\N{WHITE HEAVY CHECK MARK}",
    "\N{PARTY POPPER}",
    "\N{FIRE}",
    "**",
    "#",
)


def dense_prose(text: str, choice: random.Random) -> str:
    """Prose of advertisers, lists of names, hash tags: few short words, but in order."""
    kept = choice.random() * 0.8
    text = _SHORT_WORD.sub(lambda found: found[0] if choice.random() < kept else "", text)
    names = _LONG_WORD.findall(text)
    tags = ("".join(name.title().split()) for name in names)
    shapes: tuple[Callable[[], str], ...] = (
        lambda: text,
        lambda: text,
        lambda: re.sub(r"\. ", lambda _: f". {choice.choice(_MARKS)} ", text),
        lambda: re.sub(r" (\w{5,})", lambda found: _tagged(found[1], choice), text),
        lambda: ", ".join(map(str.title, names)),
        lambda: "\n".join(f"{index}. {name.title()}" for index, name in enumerate(names, 1)),
        lambda: ", ".join(f"**{name.title()}**" for name in names[::2]) + "\n" + text,
        lambda: text[:300] + "\n" + " ".join(f"#{tag}" for tag in tags),
        lambda: "\n".join(_cells(names, choice)),
        lambda: re.sub(r"\. ", lambda _: f"\n- **{choice.choice(_WORDS).title()}**: ", text),
    )
    return choice.choice(shapes)()


def _tagged(word: str, choice: random.Random) -> str:
    return f" #{word.title()}" if choice.random() < 0.15 else f" {word}"


def _cells(names: list[str], choice: random.Random) -> Iterator[str]:
    """Rows of a table of names, years and short remarks."""
    columns = choice.randint(3, 7)
    for start in range(0, len(names), columns):
        cells = [
            name.title() if choice.random() < 0.7 else name for name in names[start:][:columns]
        ]
        cells.insert(choice.randrange(len(cells)), str(choice.randrange(1800, 2026)))
        cells.append(f"{choice.randrange(40)} ({choice.randrange(1900, 2026)})")
        yield "| " + choice.choice([" | ", "| "]).join(cells) + " |"
