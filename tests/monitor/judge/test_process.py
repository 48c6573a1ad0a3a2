"""The judge's process from the proxy's side: started, asked, ended, whatever it does."""

import os
import subprocess
import sys

import pytest

from monitor.errors import JudgeUnavailable
from monitor.judge.frames import Answered, Question, Unanswered
from monitor.judge.opinion import Opinion
from monitor.judge.process import JudgeGone, JudgeProcess, worker_command

WORKER = [sys.executable, "-m", "tests.monitor.judge.fake_worker"]


def judge_process(mode: str = "ready", answer_seconds: float = 20.0) -> JudgeProcess:
    return JudgeProcess([*WORKER, mode], ready_seconds=20.0, answer_seconds=answer_seconds)


async def test_it_answers_one_question_after_the_other() -> None:
    process = judge_process()
    assert not process.is_up
    await process.start()
    replies = [await process.ask(Question(text)) for text in ("sick one", "fail", "fine one")]
    assert process.is_up
    await process.stop()
    assert not process.is_up
    opinions = [reply.opinion.opinion for reply in replies if isinstance(reply, Answered)]
    assert opinions == [Opinion.SICK, Opinion.FINE]
    assert replies[1] == Unanswered("RuntimeError")


@pytest.mark.parametrize(
    ("order", "words"), [("die", "died"), ("nonsense", "nonsense"), ("hang", "no answer within")]
)
async def test_one_that_is_no_use_any_more_is_ended(order: str, words: str) -> None:
    """And says what was wrong; asked again, it says so again."""
    process = judge_process(answer_seconds=0.3 if order == "hang" else 20.0)
    await process.start()
    with pytest.raises(JudgeGone, match=words):
        await process.ask(Question(order))
    assert not process.is_up
    with pytest.raises(JudgeGone):
        await process.ask(Question("fine"))


@pytest.mark.parametrize(
    ("mode", "words"), [("dies", "did not start: it died"), ("fails", "no model there")]
)
async def test_a_bad_start_is_an_error_that_says_why(mode: str, words: str) -> None:
    process = judge_process(mode)
    with pytest.raises(JudgeUnavailable, match=words):
        await process.start()
    assert not process.is_up


async def test_a_busy_one_is_killed_at_the_end() -> None:
    """Nothing is left running."""
    process = judge_process(answer_seconds=0.05)
    await process.start()
    child = process._process
    assert child is not None
    with pytest.raises(JudgeGone):
        await process.ask(Question("hang"))
    assert child.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_what_is_missing_is_named_with_the_remedy() -> None:
    """``find`` stands in for the import system of an installation without the extra."""
    with pytest.raises(JudgeUnavailable, match=r"needs torch.*pip install 'specwatch\[backend\]'"):
        worker_command(None, find=lambda _name: None)
    assert worker_command("folder")[-2:] == ["monitor.judge.worker", "folder"]


def test_the_proxy_does_not_load_the_libraries_of_its_judge() -> None:
    """They cost a gigabyte, and may not be installed."""
    code = "import sys, monitor.serve; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_question_shows_no_text() -> None:
    """Values end up in logs and tracebacks."""
    assert "secret" not in repr(Question("secret"))
