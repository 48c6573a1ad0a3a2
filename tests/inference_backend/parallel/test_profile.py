"""The benchmark's reading of a profile: which time of a broadcast was hidden."""

from benchmarks.layersplit_profile import cut, length, merged


def test_spans_are_joined_and_cut() -> None:
    sent = merged([(30.0, 50.0), (0.0, 10.0), (5.0, 20.0), (20.0, 25.0)])
    assert sent == [(0.0, 25.0), (30.0, 50.0)]
    waiting = merged([(8.0, 12.0), (24.0, 33.0)])
    assert cut(sent, waiting) == [(8.0, 12.0), (24.0, 25.0), (30.0, 33.0)]
    hidden = length(sent) - length(cut(sent, waiting))
    assert round(hidden * 1e6) == 45 - 8
