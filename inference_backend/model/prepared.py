"""Folders that are made once and then only read: complete or absent, also with several makers."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from inference_backend.errors import ModelUnavailable

STAMP_FILE = "specwatch.json"
FORMAT_VERSION = 1
SCRATCH_PREFIX = ".preparing-"


def prepare(target: Path, source: str, make: Callable[[Path], None]) -> Path:
    """Returns ``target``; has ``make`` fill it first, unless it was made from ``source`` before.

    ``make`` gets an empty folder, which then becomes ``target`` by one rename. Only one process
    makes at a time; the others wait, and find it done. The lock is the operating system's and dies
    with the process: one that is killed blocks nobody and leaves no half folder.

    Raises:
        ModelUnavailable: the folder beside ``target`` cannot be written, or ``make`` raised it.
    """
    if is_prepared(target, source):
        return target
    with lock_scratch(target) as scratch:
        if is_prepared(target, source):
            return target
        folder = scratch / target.name
        folder.mkdir()
        make(folder)
        stamp = {"format": FORMAT_VERSION, "source": source}
        (folder / STAMP_FILE).write_text(json.dumps(stamp))
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


def is_prepared(target: Path, source: str) -> bool:
    """Whether ``target`` was made from ``source`` by this version."""
    try:
        found = json.loads((target / STAMP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == {"format": FORMAT_VERSION, "source": source})


@contextlib.contextmanager
def lock_scratch(target: Path) -> Iterator[Path]:
    """Holds the lock of ``target``; gives a folder on the same disk that is removed afterwards."""
    prefix = f"{SCRATCH_PREFIX}{target.name}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            for left_over in target.parent.glob(prefix + "*"):
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
                yield Path(scratch)
    except OSError as error:
        raise ModelUnavailable(
            f"cannot write the model cache in {target.parent} ({error}); "
            f"make room, or point SPECWATCH_CACHE to another folder"
        ) from error
