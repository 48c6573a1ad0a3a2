"""The demo's client believes nothing but a stream that came to its own end."""

import json
from typing import Any

import pytest

from monitor.demo.admin import choose_samples, metric_examples, read_attempt
from monitor.demo.ask import direct_answer, protected_answer
from monitor.demo.client import Reply, chat_body, take_line
from monitor.demo.judge import Damage


def chunk(**changes: Any) -> bytes:
    """One line of a stream."""
    choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice | changes]}).encode()


def read(*lines: bytes) -> Reply:
    """The reply that these lines make."""
    reply = Reply()
    for line in lines:
        take_line(reply, line)
    return reply


def test_a_full_answer() -> None:
    """Text, finish reason, usage, [DONE]; comments and blank lines are nothing."""
    usage = b'data: {"choices": [], "usage": {"completion_tokens": 2}}'
    reply = read(chunk(), b"", b": specwatch verdict=none", chunk(finish_reason="stop"), usage)
    assert not reply.is_full
    take_line(reply, b"data: [DONE]")
    assert reply.is_full
    assert (reply.text, reply.completion_tokens) == ("word word ", 2)


@pytest.mark.parametrize(
    "lines",
    [
        [chunk(), b"data: [DONE]"],
        [chunk(finish_reason="stop")],
        [chunk(finish_reason="abort"), b"data: [DONE]"],
        [chunk(finish_reason="stop"), b'data: {"error": {"code": "x"}}', b"data: [DONE]"],
        [chunk(finish_reason="stop"), b"data: {broken", b"data: [DONE]"],
    ],
    ids=["no reason", "no end", "aborted", "error in the stream", "not JSON"],
)
def test_not_a_full_answer(lines: list[bytes]) -> None:
    """Anything less."""
    assert not read(*lines).is_full


def test_rid_is_sent_only_to_an_engine() -> None:
    """The proxy makes its own."""
    assert chat_body("hello", "m", 10, 0.5, "abc")["rid"] == "abc"
    assert "rid" not in chat_body("hello", "m", 10, 0.5, None)


def facts(attempt: int, outcome: str, alarm: int | None) -> dict[str, Any]:
    """One attempt as the monitor tells it."""
    return {
        "rid": f"{'a' * 32}{attempt:02d}",
        "outcome": outcome,
        "completion_tokens": 200,
        "released_tokens": 90,
        "wasted_tokens": 110,
        "verdict": None if alarm is None else {"alarm_token": alarm},
        "replica": "http://a",
        "accept_length": 1.02,
    }


def test_a_protected_answer_has_the_monitor_s_attempts() -> None:
    """The rids by which the engines recorded the damage."""
    story = {
        "attempts": [facts(1, "anomaly", 140), facts(2, "completed", None)],
        "added_delay_seconds": 1.25,
    }
    answer = protected_answer(Reply(finish_reason="stop", has_done=True), story)
    assert answer.is_full
    assert [one.rid[-2:] for one in answer.attempts] == ["01", "02"]
    assert answer.attempts[0].alarm_token == 140
    assert answer.added_delay_seconds == 1.25


def test_an_answer_without_a_record_cannot_be_judged() -> None:
    """So it does not count as good."""
    answer = protected_answer(Reply(finish_reason="stop", has_done=True), None)
    assert not answer.is_full
    assert answer.error == "the monitor has no record of this request"


def test_a_direct_answer_is_one_attempt() -> None:
    """All of it reached the client."""
    reply = Reply(finish_reason="stop", has_done=True, completion_tokens=30)
    answer = direct_answer(reply, "r01")
    assert [one.released_tokens for one in answer.attempts] == [30]


def incident(number: int, kind: str, text: str | None = "text") -> dict[str, Any]:
    """One incident as the API tells it."""
    return {
        "id": str(number),
        "kind": kind,
        "text_sample": text,
        "facts": facts(1, "anomaly", 130 + number),
    }


def test_samples_differ_in_kind_as_far_as_they_can() -> None:
    """And those without text are left out."""
    incidents = [incident(n, "garbled") for n in range(4)]
    incidents += [incident(4, "repetition"), incident(5, "rare_char", None)]
    damages = {"3": Damage("3", "noise", 10, 140)}
    samples = choose_samples(incidents, damages)
    assert {(sample.kind, sample.damage) for sample in samples} == {
        ("garbled", None),
        ("garbled", "noise"),
        ("repetition", None),
    }


def test_metric_examples() -> None:
    """Only what happened."""
    text = '# HELP a_total x\na_total{k="1"} 3.0\na_total{k="2"} 0.0\nb_total 1.0\n'
    assert metric_examples(text, ["a_total"]) == ['a_total{k="1"} 3.0']


def test_read_attempt_without_a_verdict() -> None:
    """No alarm."""
    assert read_attempt(facts(1, "completed", None)).alarm_token is None
