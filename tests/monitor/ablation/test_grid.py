"""What the grid holds, how its axes are written, and the load of a cell."""

import pytest

from monitor.ablation.arrivals import Shape, build_requests, rate_at
from monitor.ablation.errors import BadGrid
from monitor.ablation.fleet import FleetOptions
from monitor.ablation.grid import (
    AbortProtocol,
    Cell,
    Load,
    LoadSync,
    Ratio,
    build_grid,
    parse_load,
    parse_ratio,
)
from monitor.ablation.run import RunOptions

HEAVY = Load("heavy", 20.0, 3.0)


def test_every_combination_once() -> None:
    """Also where an axis names something twice."""
    ratios = [Ratio(1, 1), Ratio(2, 1), Ratio(1, 1)]
    cells = build_grid(list(AbortProtocol), list(LoadSync), ratios, [HEAVY, Load("light", 1.0)])
    assert len(cells) == len(set(cells)) == 16
    assert cells[0] == Cell(AbortProtocol.UNSAFE, LoadSync.KV_ONLY, Ratio(1, 1), HEAVY)


def test_two_loads_of_one_name_are_refused() -> None:
    with pytest.raises(BadGrid, match="same name"):
        build_grid(
            [AbortProtocol.UNSAFE], [LoadSync.FULL], [Ratio(1, 1)], [HEAVY, Load("heavy", 1)]
        )


@pytest.mark.parametrize("text", ["", "2", "0:1", "1:0", "2:1:1", "-1:2", "a:b", "100:1", " 1:1"])
def test_a_ratio_that_is_none(text: str) -> None:
    with pytest.raises(BadGrid, match="PREFILLS:DECODES"):
        parse_ratio(text)


def test_ratios_and_loads() -> None:
    assert parse_ratio("12:3") == Ratio(12, 3)
    assert parse_load("heavy=3x2.5") == Load("heavy", 3.0, 2.5)
    assert parse_load("light=0.25") == Load("light", 0.25, 1.0)


@pytest.mark.parametrize(
    "text", ["", "3", "a=", "a=0", "a=-1", "a=nan", "a=1x0.5", "A b=1", "a=1x"]
)
def test_a_load_that_is_none(text: str) -> None:
    with pytest.raises(BadGrid, match="NAME=RATE"):
        parse_load(text)


def test_the_load_is_the_same_in_every_cell_and_has_its_rate() -> None:
    """Bursts keep the mean; the last eighth of each period is three times as fast."""
    plan = build_requests(HEAVY, Shape(), 8000, seed=1)
    assert plan == build_requests(HEAVY, Shape(), 8000, seed=1)
    assert plan != build_requests(HEAVY, Shape(), 8000, seed=2)
    assert 8000 / plan[-1].at_seconds == pytest.approx(20.0, rel=0.06)
    assert rate_at(HEAVY, 3.6) == pytest.approx(3 * rate_at(HEAVY, 3.4))
    in_bursts = sum(one.at_seconds % 4 >= 3.5 for one in plan)
    assert in_bursts / 8000 == pytest.approx(3 / 10, abs=0.03)


def test_prompts_share_their_beginnings_and_nothing_else() -> None:
    """A request always has tokens of its own behind the shared ones, and stays in its bound."""
    plan = build_requests(HEAVY, Shape(), 2000, seed=1)
    shared = [one.request for one in plan if one.request.blocks]
    assert len(shared) / 2000 == pytest.approx(0.6, abs=0.04)
    assert {len(request.blocks) for request in shared} == {4}
    assert all(request.input_tokens > 256 for request in shared)
    assert max(one.request.input_tokens for one in plan) <= 640
    first = {request.blocks[0] for request in shared}
    assert len(first) == 24
    assert {one.request.sampling["temperature"] for one in plan} == {0.0, 0.7, 1.0}


def test_rounds_share_the_requests() -> None:
    assert RunOptions(requests=10, rounds=3).round_sizes() == [3, 3, 4]
    assert RunOptions(requests=2, rounds=4).round_sizes() == [1, 1]


def test_the_command_line_of_a_cell() -> None:
    """Each race's switch goes to the role that has it."""
    cell = Cell(AbortProtocol.UNSAFE, LoadSync.KV_ONLY, Ratio(2, 1), HEAVY)
    options = FleetOptions(model="m", threads=3, budget_seconds=0.5, flags=("--num-drafts=4",))
    command = options.launch(cell, 30500)
    assert command[3:9] == ["--prefill", "2", "--decode", "1", "--port", "30500"]
    assert "--prefill-flag=--load-sync=kv-only" in command
    assert "--decode-flag=--abort-protocol=unsafe" in command
    assert "--decode-flag=--prefill-budget-seconds=0.5" in command
    everyone = command[command.index("--") + 1 :]
    assert everyone[:2] == ["--kv-sanitizer", "record"]
    assert everyone[-3:] == ["--model", "m", "--num-drafts=4"]
