"""The model on paper."""

from dataclasses import replace

import pytest

from inference_backend.parallel.cost import (
    Fleet,
    LayerShape,
    exposed,
    gain,
    layer_times,
    link_to_hide,
    pass_seconds,
    rows_to_hide,
)

FLEET = Fleet(ranks=4, link=4e11, latency=0.0, index_rate=2e14)
SHAPE = LayerShape(kv_bytes=1152, index_bytes=144, index_operations=2 * 64 * 128)


def test_a_layer_by_hand() -> None:
    """100,000 tokens, 10,000 of them new, on 4 ranks."""
    times = layer_times(replace(FLEET, latency=1e-5), SHAPE, 100_000, 10_000)
    assert times.kv_broadcast == pytest.approx(1e-5 + 90_000 * 1152 / 4e11)
    assert times.index_broadcast == pytest.approx(1e-5 + 90_000 * 144 / 4e11)
    assert times.rows == pytest.approx(2e-5 + 7_500 * 1296 / 4e11)
    assert times.indexer == pytest.approx(2_500 * 95_000 * 16_384 / 2e14)


def test_alone_nothing_is_sent() -> None:
    times = layer_times(replace(FLEET, ranks=1, latency=1.0), SHAPE, 1000, 100)
    assert times.index_broadcast == times.kv_broadcast == times.rows == 0
    assert exposed(times, 0) == exposed(times, 1) == 0


@pytest.mark.parametrize("context", [40_000, 120_000, 1_000_000])
def test_the_overlap_ends_at_the_same_number_of_new_rows_whatever_the_context(context: int) -> None:
    enough = rows_to_hide(FLEET, SHAPE)
    more, fewer = (
        layer_times(FLEET, SHAPE, context, round(enough * share)) for share in (1.05, 0.9)
    )
    assert exposed(more, 0) == more.index_broadcast
    assert exposed(fewer, 0) > fewer.index_broadcast


def test_link_and_rows_are_two_views_of_one_border() -> None:
    rows = round(rows_to_hide(FLEET, SHAPE))
    assert link_to_hide(FLEET, SHAPE, rows) == pytest.approx(FLEET.link, rel=0.01)
    assert link_to_hide(FLEET, SHAPE, 10 * rows) < FLEET.link / 9


def test_one_unit_ahead_hides_the_index_too() -> None:
    times = layer_times(FLEET, SHAPE, 120_000, 12_000, rest=1.0)
    assert exposed(times, 0) == times.index_broadcast > 0
    assert exposed(times, 1) == 0


def test_a_larger_batch_shares_what_a_pass_costs_anyway() -> None:
    one, four = (batch_of(batch) for batch in (1, 4))
    assert gain(one, four) == pytest.approx((4 / 1.4) / (1 / 1.1) - 1)
    assert gain(one, one) == 0


def batch_of(batch: int) -> tuple[int, float]:
    return batch, pass_seconds(batch, fixed=1.0, one=0.1)
