"""Long real text for fitting and judging an indexer: files of a folder, as rows of tokens."""

import hashlib
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SUFFIXES = (".py", ".rst", ".md", ".txt")
HELD_OUT = 10
"""One file in so many is for judging, chosen by its name: training never sees it."""

MAX_FILE_BYTES = 1_000_000


def default_folders() -> list[Path]:
    """The sources of Python's own library: long, real, and on every machine that runs this."""
    return [Path(sysconfig.get_paths()["stdlib"])]


def find_files(folders: Iterable[Path], *, held_out: bool) -> list[Path]:
    """Text files of the folders on one side of the split, in an order that only names decide.

    Tests of a library and packages installed beside it are left out.
    """
    found: list[tuple[str, Path]] = []
    for folder in folders:
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            if {"test", "tests", "site-packages"} & set(inside.parts):
                continue
            digest = hashlib.sha256(inside.as_posix().encode()).hexdigest()
            if (int(digest[:8], 16) % HELD_OUT == 0) == held_out:
                found.append((digest, path))
    return [path for _, path in sorted(found)]


def read_rows(tokenizer: Any, files: Sequence[Path], length: int, max_rows: int) -> Tensor:
    """``[rows, length]`` token ids: the files one after the other, cut into rows."""
    tokens: list[int] = []
    for path in files:
        if len(tokens) >= length * max_rows:
            break
        text = path.read_bytes()[:MAX_FILE_BYTES].decode("utf-8", "ignore")
        tokens += tokenizer.encode(text, add_special_tokens=False)
    count = min(max_rows, len(tokens) // length)
    return torch.tensor(tokens[: count * length], dtype=torch.int32).view(count, length)
