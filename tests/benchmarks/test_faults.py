"""The fault matrix: what counts as clean, what as bad, and how the faulty replica answers."""

import json
from pathlib import Path

import pytest

from benchmarks.fault_client import Judged, Seen, bad_tokens, judge
from benchmarks.fault_proxies import Setting, envoy_config, haproxy_config, nginx_config, specwatch
from benchmarks.fault_replica import NAMES, SICK_TEXT, TOKENS, Fault, answer, tokens_of
from benchmarks.faults import Cell, build_report

RIGHT = answer("Alice")


def seen_of(*payloads: object) -> Seen:
    """What a client saw of these events."""
    seen = Seen()
    for payload in payloads:
        data = payload if isinstance(payload, str) else json.dumps(payload)
        seen.take(f"data: {data}\n".encode())
    return seen


def chunk(text: str, reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}


def test_only_the_whole_right_answer_that_ends_once_is_clean() -> None:
    whole = "".join(RIGHT)
    assert judge(seen_of(chunk(whole, "stop"), "[DONE]"), RIGHT) == Judged("", 0)
    assert judge(seen_of(chunk(whole, "stop")), RIGHT).problem == "ended with ['stop'] and 0 [DONE]"
    twice = seen_of(chunk(whole, "stop"), chunk("", "stop"), "[DONE]")
    assert judge(twice, RIGHT).problem
    short = seen_of(chunk("".join(RIGHT[:30]), "stop"), "[DONE]")
    assert judge(short, RIGHT) == Judged("incomplete", 0)


def test_what_is_no_json_is_bad_though_the_text_is_right() -> None:
    seen = seen_of(chunk("".join(RIGHT), "stop"), '{"choices": [', "[DONE]")
    assert judge(seen, RIGHT) == Judged("bad tokens", 1)


def test_an_error_within_the_stream_is_told_as_such() -> None:
    seen = seen_of(chunk(RIGHT[0]), {"error": {"message": "gone"}})
    assert judge(seen, RIGHT) == Judged("in-band error", 0)


@pytest.mark.parametrize("fault", SICK_TEXT)
def test_bad_tokens_are_counted_with_and_without_a_right_end(fault: Fault) -> None:
    sick = tokens_of(fault, RIGHT, 50)
    assert sick[:20] == RIGHT[:20]
    assert bad_tokens("".join(sick), RIGHT) == 30
    assert bad_tokens("".join([*sick, *RIGHT[20:]]), RIGHT) == 30
    assert bad_tokens("".join(RIGHT[:20]), RIGHT) == 0


def test_every_client_is_told_another_answer_of_the_same_length() -> None:
    answers = {"".join(answer(name)) for name in NAMES}
    assert len(answers) == len(NAMES) == 20
    assert all(len(answer(name)) == TOKENS for name in NAMES)


def test_every_configuration_names_the_port_and_both_replicas() -> None:
    setting = Setting(port=7001, metrics_port=7004, replicas=(7002, 7003), folder=Path("folder"))
    written = [
        json.dumps(envoy_config(setting)),
        haproxy_config(setting),
        nginx_config(setting),
        " ".join(specwatch("live", release="live").command(setting)),
    ]
    for text in written:
        assert all(str(port) in text for port in (7001, 7002, 7003))


def test_a_row_for_each_fault_and_what_was_left_out_is_named() -> None:
    proxy = specwatch("live", release="live")
    answers = [Judged("", 0)] * 10 + [Judged("bad tokens", 180)] * 10
    cell = Cell(Fault.LOOP, proxy.name, answers, faulty_requests=10, seconds=1.0)
    report = build_report([cell], [proxy], ["smg"])
    assert not cell.is_as_promised
    assert report.rows == [[Fault.LOOP.value, "10, 1,800 bad"]]
    assert "Left out, not installed: smg." in report.notes
    assert report.notes[-1].endswith(f"{Fault.LOOP.value}: 10 bad tokens.")
