"""The fusion learns from labelled recordings, and never from the same prompt twice."""

import json
from pathlib import Path

import pytest

from detectors.acceptance.library import packaged_baselines
from detectors.fusion.weights import FusionWeights
from monitor.errors import MonitorError
from monitor.offline.recording import Recording
from monitor.training.command import train
from monitor.training.fusion import courses, learn, split_of
from monitor.training.report import outcome
from tests.detectors.streams import CODE, PROSE, soup

HEALTHY = (2, 0, 1, 3, 1, 0, 2, 1)


def recording(number: int, split: str, *, is_damaged: bool) -> Recording:
    """Half an answer that reads well, then more of it or soup."""
    first = (PROSE, CODE)[number % 2][40 * number % 300 :][:400]
    rest = soup(120, seed=number)[:400] if is_damaged else (CODE, PROSE)[number % 2][:400]
    good, bad = HEALTHY * 6, (0,) * 100 if is_damaged else HEALTHY * 6
    return Recording(
        id=f"{split}-{number}-{is_damaged}",
        text=first + rest,
        accepted_per_step=(*good, *bad),
        drafted_per_step=(3,) * (len(good) + len(bad)),
        model="smollm2-135m-instruct",
        num_drafts=3,
        split=split,
        fault="noise" if is_damaged else "none",
        onset_token=1 + len(good) + sum(good) if is_damaged else None,
    )


def recordings() -> list[Recording]:
    splits = ("train", "calibrate", "test")
    return [
        recording(number, split, is_damaged=is_damaged)
        for split in splits
        for number in range(8)
        for is_damaged in (True, False)
    ]


def test_what_was_learned_finds_damage_early_and_leaves_the_healthy_alone() -> None:
    found = list(courses(recordings(), packaged_baselines()))
    weights = learn(found, "a test")
    result = outcome([course for course in found if course.split == "test"], weights)
    assert (result.caught, result.damaged, result.early) == (8, 8, 0)
    assert result.false_alarms == 0
    assert result.median_delay is not None
    assert result.median_delay <= 32
    assert all(weight >= 0 for weight in weights.weights)
    assert weights.watch_score < weights.alarm_score


def test_dead_drafts_alone_stay_under_the_alarm() -> None:
    weights = learn(list(courses(recordings(), packaged_baselines())), "a test")
    silent = (weights.most_unbelieved_bits, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert weights.score(silent) < weights.alarm_score


def test_a_prompt_is_in_one_split_only() -> None:
    same = [Recording(id=str(number), text="a", prompt_id="p7") for number in range(20)]
    assert len({split_of(record) for record in same}) == 1
    many = {split_of(Recording(id=str(number), text="a")) for number in range(50)}
    assert many == {"train", "calibrate", "test"}


def test_the_command_writes_what_serve_reads(tmp_path: Path) -> None:
    lines = [json.dumps(_plain(record)) for record in recordings()]
    (tmp_path / "drills.jsonl").write_text("\n".join(lines))
    train([str(tmp_path / "drills.jsonl")], tmp_path / "fusion.json", None)
    weights = FusionWeights.from_dict(json.loads((tmp_path / "fusion.json").read_text()))
    assert "48 recordings, 24 damaged" in weights.trained_on


def test_too_little_is_said(tmp_path: Path) -> None:
    healthy = [record for record in recordings() if not record.is_damaged]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(_plain(each)) for each in healthy))
    with pytest.raises(MonitorError, match="no damaged recording in the train split"):
        train([str(tmp_path / "a.jsonl")], tmp_path / "fusion.json", None)
    assert not (tmp_path / "fusion.json").exists()


def _plain(record: Recording) -> dict[str, object]:
    names = ("id", "text", "accepted_per_step", "drafted_per_step", "model", "num_drafts")
    more = ("split", "fault", "onset_token")
    return {name: getattr(record, name) for name in (*names, *more)}
