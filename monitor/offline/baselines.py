"""The file of learned baselines: reads, writes and adds to it."""

import json
from pathlib import Path

from detectors.acceptance.library import BaselineLibrary, packaged_baselines
from monitor.offline.errors import BadBaselines


def load_baselines(path: Path | None) -> BaselineLibrary:
    """The packaged baselines, and over them those of the file.

    Raises:
        BadBaselines: the file cannot be read or is something else.
    """
    if path is None:
        return packaged_baselines()
    return BaselineLibrary([*packaged_baselines(), *read_baselines(path)])


def read_baselines(path: Path) -> BaselineLibrary:
    """What ``specwatch calibrate --out`` wrote.

    Raises:
        BadBaselines: the file cannot be read or is something else.
    """
    try:
        return BaselineLibrary.from_dict(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BadBaselines(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError) as error:
        raise BadBaselines(
            f"{path}: no file of baselines ({error}); `specwatch calibrate --out` makes one"
        ) from error


def write_baselines(path: Path, learned: BaselineLibrary) -> None:
    """Adds ``learned`` to the file; a baseline of the same model, engine and drafts is replaced.

    Raises:
        BadBaselines: the file is there but is something else, or cannot be written.
    """
    kept = read_baselines(path) if path.exists() else BaselineLibrary()
    text = json.dumps(BaselineLibrary([*kept, *learned]).to_dict(), indent=1) + "\n"
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)  # a proxy that reads it now sees the old one or the new one
    except OSError as error:
        raise BadBaselines(f"{path}: cannot be written ({error.strerror})") from error
