"""Which texts are judged, and that nothing the judge does reaches a stream."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from detectors.verdict import AnomalyKind, Verdict
from monitor.judge.frames import Answered, Question, Reply, Unanswered
from monitor.judge.judge import Judge, JudgeOptions
from monitor.judge.opinion import Opinion, SecondOpinion
from monitor.judge.process import JudgeGone
from retry_proxy.stream.text_tail import EndedText

VERDICT = Verdict(AnomalyKind.GARBLED, "test", 1.0, 4, 40)
SECRET = "canary7f3a"


@dataclass
class FakeProcess:
    """Answers by the first word of the question, once it may.

    Attributes:
        asked: what came, in order.
        may_answer: cleared by a test that wants questions to wait.
    """

    asked: list[Question] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    is_up: bool = False

    async def start(self) -> None:
        self.is_up = True
        self.may_answer.set()

    async def stop(self) -> None:
        self.is_up = False

    async def ask(self, question: Question) -> Reply:
        await self.may_answer.wait()
        self.asked.append(question)
        order = question.text.split()[0]
        if order == "die":
            raise JudgeGone("it died")
        if order == "fail":
            return Unanswered("RuntimeError")
        return Answered(SecondOpinion(opinion=Opinion(order), reason="", tokens=64), 0.5)


class Opinions:
    """Takes opinions as the monitor does."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Opinion]] = []

    async def __call__(self, rid: str, opinion: SecondOpinion) -> None:
        self.taken.append((rid, opinion.opinion))


@dataclass
class Court:
    """A judge with everything around it."""

    options: JudgeOptions = field(default_factory=lambda: JudgeOptions(sample_rate=1.0))
    drawn: float = 0.0
    time: float = 0.0
    process: FakeProcess = field(default_factory=FakeProcess)
    opinions: Opinions = field(default_factory=Opinions)

    def __post_init__(self) -> None:
        self.judge = Judge(
            self.process,
            self.opinions,
            self.options,
            draw=lambda: self.drawn,
            now=lambda: self.time,
        )

    def incident(self, text: str, rid: str = "i") -> None:
        self.judge.ended(EndedText(rid, VERDICT, text, 4))

    def healthy(self, text: str, rid: str = "h") -> None:
        self.judge.ended(EndedText(rid, None, text))


async def test_opinions_make_the_estimates() -> None:
    """Held for fine among the incidents, held for sick among the samples; the unsure tell nothing.

    Only incidents have a record for an opinion to stand in.
    """
    court = Court(JudgeOptions(sample_rate=1.0, per_minute=100, queue_limit=100))
    async with court.judge.running():
        for order in ("sick", "sick", "sick", "fine", "unsure"):
            court.incident(order, rid=order)
        for order in ("fine", "fine", "sick", "unsure", "fail"):
            court.healthy(order)
        await court.judge.idle()
    report = court.judge.report()
    assert (report.false_alarms.part, report.false_alarms.whole) == (1, 4)
    assert (report.misses.part, report.misses.whole) == (1, 3)
    assert report.opinions["healthy"]["unsure"] == 1
    assert report.dropped["error"] == 1
    assert report.seconds == 9 * 0.5
    assert [rid for rid, _ in court.opinions.taken] == ["sick", "sick", "sick", "fine", "unsure"]


async def test_the_onset_goes_with_an_incident() -> None:
    court = Court()
    async with court.judge.running():
        court.incident("sick text")
        court.healthy("fine text")
        await court.judge.idle()
    assert court.process.asked == [Question("sick text", 4), Question("fine text", None)]


async def test_half_a_character_is_no_obstacle() -> None:
    """Broken streams are what the judge is for."""
    court = Court()
    async with court.judge.running():
        court.incident("sick \ud83d text")
        await court.judge.idle()
    assert court.process.asked == [Question("sick ? text", 4)]


async def test_healthy_answers_are_sampled_and_incidents_are_not() -> None:
    court = Court(JudgeOptions(sample_rate=0.25))
    async with court.judge.running():
        for court.drawn in (0.0, 0.24, 0.25, 0.9):
            court.healthy("fine")
            court.incident("sick")
        await court.judge.idle()
    assert [question.text for question in court.process.asked].count("fine") == 2
    assert sum(court.judge.report().dropped.values()) == 0  # not drawn is not dropped


async def test_a_sample_rate_of_nothing_judges_no_healthy_answer() -> None:
    court = Court(JudgeOptions(sample_rate=0.0))
    async with court.judge.running():
        court.healthy("fine")
        await court.judge.idle()
    assert court.process.asked == []


async def test_more_than_the_queue_holds_is_dropped_and_counted() -> None:
    """At once: the stream that hands its text over never waits."""
    court = Court(JudgeOptions(per_minute=1000, queue_limit=3))
    async with court.judge.running():
        court.process.may_answer.clear()
        for _ in range(10):
            court.incident("sick")
        assert court.judge.report().waiting == 3
        court.process.may_answer.set()
        await court.judge.idle()
    assert court.judge.report().dropped["queue_full"] == 7
    assert len(court.process.asked) == 3


async def test_more_than_the_allowance_is_dropped_and_counted() -> None:
    """Healthy answers leave half of it to incidents."""
    court = Court(JudgeOptions(sample_rate=1.0, per_minute=10, queue_limit=100))
    async with court.judge.running():
        for _ in range(20):
            court.healthy("fine")
        for _ in range(20):
            court.incident("sick")
        await court.judge.idle()
        assert len(court.process.asked) == 10
        court.time = 60.0
        court.incident("sick")
        await court.judge.idle()
    assert len(court.process.asked) == 11
    assert court.judge.report().dropped["rate_limit"] == 30


async def test_when_the_process_dies_the_proxy_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Told once, counted for each text, and nobody waits."""
    court = Court()
    async with court.judge.running():
        for text in ("die", "sick", "sick"):
            court.incident(text)
        await court.judge.idle()
        for _ in range(5):
            court.incident("sick")
        report = court.judge.report()
        assert (report.is_up, report.waiting) == (False, 0)
        assert report.dropped["gone"] == 8
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no more second opinions" in caplog.text


async def test_what_waits_at_the_end_is_forgotten() -> None:
    """No text outlives the process, and stopping takes no time."""
    court = Court()
    async with court.judge.running():
        court.process.may_answer.clear()
        for _ in range(3):
            court.incident("sick")
        await asyncio.sleep(0)
    assert court.judge.report().waiting == 0
    assert not court.process.is_up


async def test_no_text_is_kept_after_the_opinion(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the judge nor in a log."""
    caplog.set_level(logging.DEBUG)
    court = Court()
    async with court.judge.running():
        for order in ("sick", "fail", "fine", "die"):
            court.incident(f"{order} {SECRET}")
        await court.judge.idle()
        court.process.asked.clear()
        assert SECRET not in repr(vars(court.judge)) + str(court.judge.report()) + caplog.text
        assert not court.judge._waiting
