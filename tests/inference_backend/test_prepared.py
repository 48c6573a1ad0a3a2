"""A prepared folder is complete or absent, however many make it and however they end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inference_backend.errors import ModelUnavailable
from inference_backend.model.prepared import SCRATCH_PREFIX, prepare


class Maker:
    """Fills a folder with one file, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "weights").write_text("all of them")


def test_folder_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    target = tmp_path / "models" / "tiny"
    assert prepare(target, "v1", make) == prepare(target, "v1", make) == target
    assert make.calls == 1
    assert (target / "weights").read_text() == "all of them"


def test_another_source_makes_it_anew(tmp_path: Path) -> None:
    make = Maker()
    prepare(tmp_path / "tiny", "v1", make)
    (tmp_path / "tiny" / "old").touch()
    prepare(tmp_path / "tiny", "v2", make)
    assert make.calls == 2
    assert not (tmp_path / "tiny" / "old").exists()


def test_failed_making_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ModelUnavailable("no network")

    with pytest.raises(ModelUnavailable, match="no network"):
        prepare(tmp_path / "tiny", "v1", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.lock"]
    make = Maker()
    prepare(tmp_path / "tiny", "v1", make)
    assert make.calls == 1


def test_remains_of_a_killed_maker_are_removed(tmp_path: Path) -> None:
    remains = tmp_path / f"{SCRATCH_PREFIX}tiny-abc"
    remains.mkdir()
    (tmp_path / "tiny").mkdir()  # a folder without a stamp is not a finished one
    make = Maker()
    prepare(tmp_path / "tiny", "v1", make)
    assert make.calls == 1
    assert not remains.exists()


def test_second_maker_waits_and_finds_it_done(tmp_path: Path) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    slow_calls = []

    def slow(folder: Path) -> None:
        slow_calls.append(folder)
        has_begun.set()
        assert may_end.wait(5)

    second = Maker()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(prepare, tmp_path / "tiny", "v1", slow)
        assert has_begun.wait(5)
        other = pool.submit(prepare, tmp_path / "tiny", "v1", second)
        may_end.set()
        assert first.result(5) == other.result(5)
    assert (len(slow_calls), second.calls) == (1, 0)


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(ModelUnavailable, match="SPECWATCH_CACHE"):
        prepare(tmp_path / "models" / "tiny", "v1", Maker())
