"""What the fusion looks at."""

from dataclasses import dataclass

from detectors.fusion.features import FEATURES, LOWER, UPPER, read_features


@dataclass
class Evidence:
    """Stands for every detector that is read."""

    low_bits: float = 0.0
    surprise: float = 0.0
    rare_score: float = 0.0
    token_rank: float = 0.0
    strength: float = 0.0


def read(evidence: Evidence, surprisal: float = 0.0) -> dict[str, float]:
    values = read_features(evidence, evidence, evidence, surprisal)
    return dict(zip(FEATURES, values, strict=True))


def test_no_source_counts_without_limit() -> None:
    much = Evidence(1e9, 1e9, 1e9, 1e9, 1e9)
    assert tuple(read(much, 1e9).values()) == UPPER
    little = Evidence(-1e9, -1e9, -1e9, -1e9, -1e9)
    assert list(read(little, -1e9).values())[1:] == list(LOWER)[1:]


def test_what_may_be_the_drafters_fault_counts_less() -> None:
    evidence = Evidence(low_bits=25.0)
    assert read_features(evidence, evidence, evidence, 0.0)[0] == 25.0
    assert read_features(evidence, evidence, evidence, 0.0, most_bits=9.0)[0] == 9.0
    little = Evidence(low_bits=5.0)
    assert read_features(little, little, little, 0.0, most_bits=9.0)[0] == 5.0
