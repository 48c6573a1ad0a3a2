"""How much of a stream's text is kept for the judge, and where the onset lies in it."""

import pytest

from detectors.verdict import AnomalyKind, Verdict
from retry_proxy.config import ReleaseMode
from retry_proxy.stream.text_tail import EndedText, TextTail
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ROUTES, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

LENGTH = 300


def verdict(onset_token: int) -> Verdict:
    return Verdict(AnomalyKind.GARBLED, "test", 1.0, onset_token, onset_token + 40)


def fed(limit: int, count: int, piece: str = "abcde") -> TextTail:
    """A tail after ``count`` tokens, one a piece."""
    tail = TextTail(limit)
    for number in range(count):
        tail.add(piece, number)
    return tail


def test_a_short_text_is_kept_whole() -> None:
    assert fed(100, 3).ended("rid", None) == EndedText("rid", None, "abcde" * 3, None)


def test_of_a_long_one_the_end_is_kept() -> None:
    assert fed(12, 500).ended("rid", None).text == ("abcde" * 3)[-12:]


@pytest.mark.parametrize("pieces", [["a"] * 10_000, ["a" * 10_000], ["", "ab"] * 5_000])
def test_memory_is_bounded_whatever_the_pieces(pieces: list[str]) -> None:
    """Characters and pieces; an engine may send a whole answer at once."""
    tail = TextTail(100)
    for number, piece in enumerate(pieces):
        tail.add(piece, number)
    assert len(tail.ended("rid", None).text) == 100
    assert len(tail._pieces) <= 101


def test_the_onset_is_found_in_what_is_kept() -> None:
    """Characters of the tokens before it."""
    ended = fed(100, 10).ended("rid", verdict(onset_token=4))
    assert ended.characters_before_onset == 20
    assert fed(12, 500).ended("rid", verdict(onset_token=499)).characters_before_onset == 7
    assert fed(12, 500).ended("rid", verdict(onset_token=3)).characters_before_onset == 0


def test_what_was_found_is_not_pushed_out_by_what_follows() -> None:
    """A stream that is let through may go on for thousands of tokens."""
    tail = fed(100, 20)
    tail.note_verdict()
    for number in range(20, 5000):
        tail.add("x", number)
    ended = tail.ended("rid", verdict(onset_token=18))
    assert ended.text == "abcde" * 10 + "x" * 50
    assert ended.characters_before_onset == 40


def test_a_repr_shows_no_text() -> None:
    """Values end up in logs and tracebacks."""
    assert "secret" not in repr(EndedText("rid", None, "secret"))


class KeepingSink:
    """Keeps what it gets."""

    kept_characters = 1000

    def __init__(self) -> None:
        self.texts: list[EndedText] = []

    def ended(self, text: EndedText) -> None:
        self.texts.append(text)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_healthy_answer_is_handed_over_once(route: str) -> None:
    sink = KeepingSink()
    async with FakeEngine(40) as one, proxy_for(one, text_sink=sink) as proxy:
        await post(proxy.app, route, request_body(route))
        rid = proxy.sink.attempts[0].rid
    assert sink.texts == [EndedText(rid, None, words(40), None)]


async def test_a_stopped_attempt_is_handed_over_with_its_verdict() -> None:
    """And the attempt that delivered as a healthy one."""
    sink = KeepingSink()
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = Script(Fault.LOW_ACCEPTANCE, after=40, word=" garbage")
        options = {"release": ReleaseMode.BUFFER, "text_sink": sink}
        async with proxy_for(sick, healthy, **options) as proxy:
            await post(proxy.app, ROUTES[1], request_body(ROUTES[1], max_tokens=LENGTH))
    stopped, delivered = sink.texts
    assert [text.rid for text in sink.texts] == [event.rid for event in proxy.sink.attempts]
    assert stopped.verdict is not None
    assert stopped.characters_before_onset is not None
    assert " garbage" not in stopped.text[: stopped.characters_before_onset - len(" w10") * 3]
    assert stopped.text[stopped.characters_before_onset :].count(" garbage") > 50
    assert delivered.verdict is None


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.STATUS, Fault.BAD_JSON])
async def test_broken_attempts_are_not_handed_over(fault: Fault) -> None:
    """Half an answer says nothing about a detector."""
    sink = KeepingSink()
    async with FakeEngine(40) as one, FakeEngine(40) as two:
        one.default = Script(fault, after=10)
        async with proxy_for(one, two, text_sink=sink) as proxy:
            await post(proxy.app, ROUTES[0], request_body(ROUTES[0]))
            assert len(proxy.sink.attempts) == 2
    assert [text.rid for text in sink.texts] == [proxy.sink.attempts[1].rid]
