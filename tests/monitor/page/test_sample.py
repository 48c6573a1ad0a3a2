"""Which streams the page shows, of many."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.page.sample import choose


def named(count: int, suspect: frozenset[int] = frozenset()) -> list[tuple[str, bool]]:
    return [(f"r{number}", number in suspect) for number in range(count)]


def test_few_streams_are_all_shown() -> None:
    sample = choose(named(5), (), most_suspect=100, most_others=40)
    assert sample.shown == ("r0", "r1", "r2", "r3", "r4")
    assert (sample.running, sample.suspect) == (5, 0)


def test_every_suspect_is_shown_among_a_thousand_and_the_counts_are_true() -> None:
    suspect = frozenset({3, 500, 999})
    sample = choose(named(1000, suspect), (), most_suspect=100, most_others=40)
    assert sample.shown[:3] == ("r3", "r500", "r999")
    assert len(sample.shown) == 43
    assert (sample.running, sample.suspect) == (1000, 3)


def test_when_all_are_suspect_the_page_is_not_drowned() -> None:
    """Those that are on it stay, whichever end of the list they are at."""
    before = {"r900", "r999"}
    sample = choose(named(1000, frozenset(range(1000))), before, most_suspect=100, most_others=40)
    assert len(sample.shown) == 100
    assert before <= set(sample.shown)
    assert (sample.running, sample.suspect) == (1000, 1000)


def test_what_was_shown_stays_while_older_streams_are_still_there() -> None:
    """And a stream that recovers is not thrown off the page in the moment that it does."""
    first = choose(named(100, frozenset({90})), (), most_suspect=10, most_others=3)
    assert first.shown == ("r90", "r0", "r1", "r2")
    second = choose(named(100), first.shown, most_suspect=10, most_others=3)
    assert set(second.shown) <= set(first.shown)
    later = [pair for pair in named(100) if pair[0] != "r1"]
    third = choose(later, ("r0", "r1", "r50"), most_suspect=10, most_others=3)
    assert third.shown == ("r0", "r50", "r2")


@settings(deadline=None)
@given(
    st.lists(st.booleans(), max_size=60),
    st.sets(st.integers(0, 80)),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_whatever_runs(
    suspicions: list[bool], before: set[int], most_suspect: int, most_others: int
) -> None:
    """Bounded, no stream twice, none that does not run, and no place is left empty for nothing."""
    streams = [(f"r{number}", suspect) for number, suspect in enumerate(suspicions)]
    names = {f"r{number}" for number in before}
    sample = choose(streams, names, most_suspect=most_suspect, most_others=most_others)
    suspects = [rid for rid, suspect in streams if suspect]
    others = [rid for rid, suspect in streams if not suspect]
    assert len(set(sample.shown)) == len(sample.shown)
    assert set(sample.shown) <= {*suspects, *others}
    assert len(set(sample.shown) & set(suspects)) == min(len(suspects), most_suspect)
    assert len(set(sample.shown) & set(others)) == min(len(others), most_others)
    assert (sample.running, sample.suspect) == (len(streams), len(suspects))
