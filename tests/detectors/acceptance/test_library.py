"""Baselines found by model, engine and width."""

from dataclasses import replace

import pytest

from detectors.acceptance.baseline import AcceptanceBaseline
from detectors.acceptance.library import BaselineLibrary, choose, packaged_baselines

THREE = replace(AcceptanceBaseline.published(3), model="Llama", requests=100)
FIVE = replace(AcceptanceBaseline.published(5), model="Llama", requests=100)
GREEDY = replace(THREE, max_temperature=0.0)
WARM = replace(THREE, max_temperature=0.7)
ON_SGLANG = replace(THREE, engine="sglang", requests=200)


def test_an_engines_own_baseline_goes_before_that_of_any_engine() -> None:
    library = BaselineLibrary([THREE, FIVE, ON_SGLANG])
    assert library.find("llama", "sglang") == {3: ON_SGLANG, 5: FIVE}
    assert library.find("LLAMA", "vllm") == {3: THREE, 5: FIVE}
    assert library.find("other") == {}
    assert library.find(None) == {}


@pytest.mark.parametrize(
    ("temperature", "found"), [(None, THREE), (0.0, GREEDY), (0.1, WARM), (0.7, WARM), (0.8, THREE)]
)
def test_the_coolest_that_covers_the_temperature(
    temperature: float | None, found: AcceptanceBaseline
) -> None:
    for order in ([THREE, WARM, GREEDY], [GREEDY, WARM, THREE]):
        assert BaselineLibrary(order).find("llama", temperature=temperature) == {3: found}


def test_the_engines_own_goes_before_a_cooler_one_of_any_engine() -> None:
    library = BaselineLibrary([GREEDY, ON_SGLANG])
    assert library.find("llama", "sglang", 0.0) == {3: ON_SGLANG}


@pytest.mark.parametrize(("drafted", "width"), [(None, 3), (2, 3), (3, 3), (4, 5), (6, None)])
def test_the_narrowest_that_allows_for_the_drafts(drafted: int | None, width: int | None) -> None:
    found = choose({3: THREE, 5: FIVE}, drafted)
    assert (found.num_drafts if found else None) == width


def test_survives_a_file() -> None:
    library = BaselineLibrary([THREE, FIVE, ON_SGLANG])
    assert list(BaselineLibrary.from_dict(library.to_dict())) == list(library)


@pytest.mark.parametrize("values", [None, [], {}, {"baselines": {}}, {"baselines": [1]}])
def test_what_is_no_library_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="baselines"):
        BaselineLibrary.from_dict(values)


def test_the_packaged_ones_are_learned() -> None:
    baselines = list(packaged_baselines())
    assert baselines
    assert all(baseline.is_learned for baseline in baselines)
