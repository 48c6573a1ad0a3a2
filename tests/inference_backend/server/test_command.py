"""The command line is the options class; what is wrong is told in one line."""

import dataclasses

import pytest

from inference_backend.__main__ import build_parser, main
from inference_backend.server.options import BackendOptions


def test_every_option_has_a_flag_with_its_default() -> None:
    assert BackendOptions(**vars(build_parser().parse_args([]))) == BackendOptions()


def test_flags_change_their_option() -> None:
    arguments = ["--port", "0", "--model", "m", "--kv-tokens", "64", "--no-cuda-graphs"]
    parsed = BackendOptions(**vars(build_parser().parse_args(arguments)))
    assert parsed == BackendOptions(port=0, model="m", kv_tokens=64, cuda_graphs=False)


def test_help_shows_each_flag_and_an_example() -> None:
    text = build_parser().format_help()
    for field in dataclasses.fields(BackendOptions):
        assert "--" + field.name.replace("_", "-") in text
    assert "curl" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "port must be from 0 to 65535"),
        (["--num-drafts", "-1"], "num_drafts must be at least 0"),
        (["--fault-rate", "2"], "fault_rate"),
        (["--device", "tpu"], "invalid choice"),
        (["--index-topk", "0"], "index_topk must be at least 1"),
        (["--host-kv-tokens", "-1"], "host_kv_tokens must be at least 0"),
        (["--load-sync", "none"], "invalid choice"),
        (["--role", "decode", "--attention", "sparse"], "role decode has neither"),
        (["--prefill-ranks", "0"], "prefill_ranks must be at least 1"),
        (["--prefill-ranks", "2"], "prefill_ranks 2 needs role prefill"),
        (["--prefill-ranks", "2", "--role", "prefill"], "2 needs transport shared: mooncake"),
        (["--kv-layout", "layersplit", "--role", "prefill"], "needs prefill_ranks of at least 2"),
        (["--role", "decode", "--host-kv-tokens", "64"], "role decode has neither"),
    ],
)
def test_wrong_flag_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
