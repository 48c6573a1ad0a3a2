"""Healthy text of many languages and kinds for the text model, from free sources only.

Debian packages are fetched with the system's own apt and unpacked, not installed; installed Python
packages and translations are read where they are. What is not there is left out, so the figures of
a rebuilt model can differ a little; the model card says what was there.
"""

import gettext
import gzip
import html
import re
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES_FILE = Path(__file__).with_name("corpus_packages.txt")
PIECE_CHARACTERS = 1600
TEST_SHARE = 5  # one file in five is kept for measuring

_CODE = frozenset(
    [
        "hpp",
        "ipp",
        "h",
        "c",
        "cc",
        "cpp",
        "go",
        "py",
        "erl",
        "hrl",
        "ex",
        "js",
        "ts",
        "rs",
        "s",
        "php",
        "lua",
        "java",
        "css",
        "sql",
        "sh",
        "json",
        "xml",
        "svg",
        "yaml",
        "toml",
        "ini",
        "tex",
        "sty",
        "pod",
        "hs",
        "kt",
        "rb",
        "pl",
        "raku",
        "md",
        "input",
        "golden",
        "expect",
        "el",
        "des",
        "dot",
        "xcd",
    ]
)
_PROSE = frozenset(["txt", "html", "page", "u8", "fortunes", "docbook", "dz", "rds"])
_BIG = frozenset([".dz", ".rds"])  # whole dictionaries and novels in one file
_LANGUAGE_IN_PATH = re.compile(
    r"/(?:help|locale|FAQ|html|man|installation-guide-amd64|fortunes|resource|lang)/"
    r"([a-z]{2,3})(?:[-_][A-Za-z]{2,8})?(?:@[a-z]+)?(?:\.UTF-8)?/"
)
_LANGUAGE_IN_NAME = re.compile(r"\.([a-z]{2})(?:-[a-z]{2})?\.(?:html|txt)(?:\.gz)?$")
_PRINTABLE = re.compile(rb"[ -~]{20,}")
_TAG = re.compile(r"(?s)<(script|style)\b.*?</\1>|<!--.*?-->|<[^<>]{0,2000}>")
_BLANK = re.compile(r"[ \t]*\n(?:[ \t]*\n)+")
_ROFF = re.compile(r"(?m)^[.'][A-Za-z]{0,4}[ \t]*|\\f.|\\&|\\m\[\w*\]|^\.\\\".*$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of healthy text.

    Attributes:
        group: what it is: ``lang:fr``, ``prose:git-doc`` (English), ``code:go``, ``words:tr``.
        source: the file it is from.
        is_test: kept out of training. All pieces of one file agree.
        text: at most ``PIECE_CHARACTERS`` characters.
    """

    group: str
    source: str
    is_test: bool
    text: str


def fetch_packages(folder: Path) -> int:
    """Downloads and unpacks the Debian packages that are not yet there; returns how many are."""
    archives = folder / "deb"
    archives.mkdir(parents=True, exist_ok=True)
    known = {path.name.split("_")[0] for path in archives.glob("*.deb")}
    wanted = [name for name in PACKAGES_FILE.read_text().split() if name not in known]
    for name in wanted:  # one by one: a package that is gone must not stop the others
        subprocess.run(["apt-get", "download", name], cwd=archives, check=False)
    for archive in sorted(archives.glob("*.deb")):
        target = folder / "root" / archive.name.split("_")[0]
        if not target.exists():
            subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=True)
    return len(list(archives.glob("*.deb")))


def read_corpus(roots: Iterable[Path], characters_per_group: int) -> Iterator[Piece]:
    """Pieces of every readable file below ``roots``, files in a fixed shuffled order.

    Every group stops at ``characters_per_group`` characters, English prose of one package at 3
    times that, dictionaries at 20 times.
    """
    files = [
        (zlib.crc32(f"{root.name}/{path.relative_to(root)}".encode()), path, root)
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    ]
    taken: defaultdict[str, int] = defaultdict(int)
    for order, path, root in sorted(files):
        group = group_of(path)
        if group == "lang:en":  # every package is heard, not the one with the most files
            group = f"prose:{path.relative_to(root).parts[0]}"
        if group is None or taken[group] >= _limit(group, characters_per_group):
            continue
        is_test = order % TEST_SHARE == 0 and path.suffix not in _BIG
        for text in _pieces(read_text(path, group), 3000 if path.suffix in _BIG else 12):
            taken[group] += len(text)
            yield Piece(group, str(path), is_test, text)


def _limit(group: str, characters: int) -> int:
    if group.startswith("prose:dict-"):
        return characters * 20  # the widest vocabulary there is
    return characters * 3 if group.startswith("prose:") else characters


def group_of(path: Path) -> str | None:
    """What the file holds, by its name; ``None`` when it is of no use."""
    name = path.name.removesuffix(".gz")
    suffix = name.rpartition(".")[2].lower()
    found = _LANGUAGE_IN_PATH.search(str(path)) or _LANGUAGE_IN_NAME.search(path.name)
    if suffix == "mo" or "/man/" in str(path):
        return f"lang:{found[1] if found else 'en'}"
    if suffix == "dic":
        return f"words:{re.split('[-_]', path.stem)[0]}"
    if suffix in _PROSE:
        return f"lang:{found[1] if found else 'en'}"
    return f"code:{suffix}" if suffix in _CODE else None


def read_text(path: Path, group: str) -> str:
    """The file as plain text; empty when it is not UTF-8 or not text."""
    try:
        if path.suffix == ".mo":
            return _read_translations(path)
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix in {".gz", *_BIG} else data[:200_000]
        if path.suffix == ".rds":
            return "\n".join(line.decode() for line in _PRINTABLE.findall(data))
        text = data.decode("utf-8", errors="strict" if len(data) < 200_000 else "ignore")
    except (OSError, EOFError, ValueError, LookupError, zlib.error):
        return ""
    if "\ufffd" in text or "\0" in text:
        return ""
    if group.startswith("words:"):
        return "\n".join(line.split("/")[0] for line in text.splitlines()[1:])
    if path.suffix in {".html", ".page", ".docbook"}:
        text = html.unescape(_TAG.sub("", text))
    elif "/man/" in str(path):
        text = _ROFF.sub("", text).replace("\\-", "-").replace("\\(aq", "'")
    return _BLANK.sub("\n\n", text)


def _read_translations(path: Path) -> str:
    """Translated sentences of a compiled catalogue, the long ones, one a line."""
    with path.open("rb") as file:
        catalogue: dict[object, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    found = [
        translated
        for original, translated in catalogue.items()
        if original and translated != original and len(translated) >= 24
    ]
    return "\n".join(found)


def _pieces(text: str, most: int) -> Iterator[str]:
    """Cuts at line ends; at most ``most`` pieces a file, spread over it."""
    cuts = [text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)]
    for piece in cuts[:: max(1, -(-len(cuts) // most))]:
        if len(piece) >= 200:
            yield piece
