"""The same quantities come out of every engine's page, and nothing is made up."""

from pathlib import Path

import pytest

from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import read_metrics

DATA = Path(__file__).parents[2] / "data" / "engine_metrics"

SGLANG = """
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="0"} 3.0
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="1"} 3.0
sglang:num_queue_reqs{model_name="m"} 2
sglang:token_usage{model_name="m",dp_rank="0"} 0.25
sglang:token_usage{model_name="m",dp_rank="1"} 0.75
sglang:spec_accept_length{model_name="m"} 2.4
sglang:spec_accept_rate{model_name="m"} 0.47
sglang:spec_verify_calls_total{model_name="m"} 90
"""


def captured(name: str) -> str:
    return (DATA / name).read_text()


def test_sglang_as_captured() -> None:
    """Speculation was off: gauges of 0.0 are no acceptance."""
    reading = read_metrics(captured("sglang-0.5.23.txt"), "sglang")
    assert reading.missing == ()
    assert Quantity.ACCEPT_LENGTH_GAUGE not in reading.values
    assert Quantity.ACCEPT_RATE_GAUGE not in reading.values
    assert reading.values[Quantity.ABORTS] == 1
    assert reading.values[Quantity.GENERATED] == 52 + 121  # streamed or not
    assert reading.values[Quantity.FIRST_TOKENS] == 2 + 5


def test_sglang_under_both_prefixes() -> None:
    """Prometheus' own rule against colons made some rename them; one rank of a model counts."""
    reading = read_metrics(SGLANG, "sglang")
    assert reading.values[Quantity.RUNNING] == 3
    assert reading.values[Quantity.CACHE_USAGE] == 0.75  # the fullest of two copies
    assert reading.values[Quantity.ACCEPT_LENGTH_GAUGE] == 2.4
    assert read_metrics(SGLANG.replace("sglang:", "sglang_"), "sglang") == reading


def test_vllm_as_captured() -> None:
    reading = read_metrics(captured("vllm-0.32.0-draft.txt"), "vllm")
    assert reading.missing == ()
    told = [
        reading.values[one]
        for one in (Quantity.VERIFY_STEPS, Quantity.DRAFTED, Quantity.ACCEPTED, Quantity.GENERATED)
    ]
    assert told == [182, 728, 120, 297]
    assert reading.positions == {1: 61, 2: 35, 3: 13, 4: 11}
    assert reading.values[Quantity.ABORTS] == 0
    assert reading.values[Quantity.FIRST_TOKENS] == 11


def test_vllm_s_old_name_of_the_cache() -> None:
    """Renamed in 0.10; a third name would be told as missing."""
    page = captured("vllm-0.32.0-draft.txt").replace("kv_cache_usage_perc", "gpu_cache_usage_perc")
    assert read_metrics(page, "vllm").values[Quantity.CACHE_USAGE] == 0
    newer = page.replace("gpu_cache_usage_perc", "cache_fill")
    assert read_metrics(newer, "vllm").missing == ("cache_usage",)


def test_llamacpp_as_captured() -> None:
    """It no longer tells its cache's use: no series, and nothing is missing."""
    reading = read_metrics(captured("llamacpp-b11434-draft.txt"), "llamacpp")
    assert reading.missing == ()
    assert Quantity.CACHE_USAGE not in reading.values
    assert reading.positions == {1: 56, 2: 36, 3: 12, 4: 2}
    assert reading.values[Quantity.GENERATED] == 221


@pytest.mark.parametrize(
    "line",
    [
        "sglang:token_usage NaN",
        "sglang:token_usage +Inf",
        "sglang:token_usage -1",
        "sglang:token_usage half",
        "# HELP sglang:token_usage 0.5",
        'xsglang:token_usage{a="b"} 0.5',
        "sglang:token_usage",
    ],
)
def test_what_is_no_number_is_not_there(line: str) -> None:
    assert read_metrics(f"{line}\n", "sglang").is_empty


def test_labels_may_hold_anything() -> None:
    """Braces, quotes and spaces in a model's name."""
    page = 'vllm:num_requests_running{model_name="a} 7 \\"b\\"",engine="0"} 4.0\n'
    assert read_metrics(page, "vllm").values == {Quantity.RUNNING: 4}


def test_another_server_s_page_is_empty() -> None:
    reading = read_metrics("http_requests_total 7\n", "sglang")
    assert reading.is_empty
    assert reading.missing == ("running_requests", "waiting_requests", "cache_usage")
