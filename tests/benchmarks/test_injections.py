"""Damage put into healthy text is where it is said to be."""

from collections.abc import Sequence

from benchmarks.injections import LOOP_PERIODS, Injector
from monitor.offline.loops import final_loop

CLEAN = [list(range(start, start + 120)) for start in range(0, 1_200, 120)]


def decode(ids: Sequence[int]) -> str:
    """Each id as a word of its own."""
    return "".join(f"w{one} " for one in ids)


def test_each_kind_is_made_as_often_as_asked_and_begins_at_its_onset() -> None:
    """What comes before is the start of a healthy answer."""
    made = list(Injector(CLEAN, range(5_000, 6_000), decode, seed=1).recordings(2))
    kinds = [record.label for record in made]
    assert len(set(kinds)) == len(LOOP_PERIODS) + 4
    assert all(kinds.count(kind) == 2 for kind in set(kinds))
    for record in made:
        assert record.text is not None
        prefix = record.text[: record.onset_char]
        assert any(decode(clean).startswith(prefix) for clean in CLEAN)
        assert record.is_damaged


def test_loops_loop_from_the_onset_on() -> None:
    """With at least four copies."""
    for record in Injector(CLEAN, range(5_000, 6_000), decode, seed=2).recordings(1):
        if record.label is not None and record.label.startswith("loop of"):
            period = int(record.label.removeprefix("loop of "))
            words = (record.text or "")[record.onset_char :].split()
            assert final_loop(words) == 0
            assert words[:-period] == words[period:]
            assert len(words) >= 4 * period


def test_the_same_seed_makes_the_same_damage() -> None:
    """And another one another."""
    texts = [
        [record.text for record in Injector(CLEAN, range(99), decode, seed).recordings(1)]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
