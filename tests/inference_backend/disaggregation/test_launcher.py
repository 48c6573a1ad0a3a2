"""The launcher's command line: which replica is given which flags."""

from inference_backend.disaggregation.__main__ import Replica, build_parser, flags_of


def test_flags_of_one_role_go_to_that_role_alone() -> None:
    """And after those of every replica, so that they win."""
    options = build_parser().parse_args(
        [
            *("--prefill", "2", "--prefill-flag=--attention=sparse"),
            *("--prefill-flag=--kv-tokens=64", "--decode-flag=--abort-protocol=unsafe"),
            *("--", "--kv-tokens", "32"),
        ]
    )
    assert flags_of(options, "prefill") == [
        *("--kv-tokens", "32", "--attention=sparse", "--kv-tokens=64")
    ]
    assert flags_of(options, "decode") == ["--kv-tokens", "32", "--abort-protocol=unsafe"]
    command = Replica("decode", 31000, 31001).command(flags_of(options, "decode"))
    assert command[-3:] == ["--kv-tokens", "32", "--abort-protocol=unsafe"]
