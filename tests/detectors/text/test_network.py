"""The network in whole numbers is the network in fractions."""

import random

import pytest

from detectors.text.network import pack_network
from detectors.text.soup import TABLES


def test_packed_units_equal_plain_arithmetic() -> None:
    choice = random.Random(3)
    hidden = [[choice.uniform(-2, 2) for _ in range(9)] for _ in range(5)]
    bias = [choice.uniform(-50, 50) for _ in range(5)]
    output = [choice.uniform(-1, 1) for _ in range(5)]
    network = pack_network(hidden, bias, output, 0.25)
    for _ in range(50):
        inputs = [choice.randrange(-900, 900) for _ in range(9)]
        units = (
            max(sum(map(float.__mul__, row, map(float, inputs))) + one, 0.0)
            for row, one in zip(hidden, bias, strict=True)
        )
        plain = 0.25 + sum(map(float.__mul__, units, output))
        assert network.log_odds(inputs) == pytest.approx(plain, abs=0.01)


def test_the_packaged_weights_are_there() -> None:
    assert len(TABLES.words) > 10_000
    assert len(TABLES.network.columns) == 35
