"""The judge's process: reads questions, answers them one by one, and forgets them.

Started by ``process.py``; ends when its standard input does, so it never outlives the proxy.
"""

import os
import sys
import time
from typing import BinaryIO

from monitor.errors import JudgeUnavailable
from monitor.judge.frames import Answered, Failed, Ready, Reply, Unanswered, pack, read_question
from monitor.judge.language_model import LanguageModel, load_language_model
from monitor.judge.opinion import judge_text

THREADS = 1  # one core at most, and only what the proxy and the engines leave of it
NICENESS = 10


def main(model_name: str | None) -> None:
    """Load the model, tell so, and answer until the input ends."""
    questions = sys.stdin.buffer
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    os.nice(NICENESS)
    try:
        model = load_language_model(model_name, THREADS)
    except JudgeUnavailable as error:
        send(replies, Failed(str(error)))
        return
    send(replies, Ready())
    answer_all(model, questions, replies)


def answer_all(model: LanguageModel, questions: BinaryIO, replies: BinaryIO) -> None:
    """Answer until there are no more questions."""
    while (question := read_question(questions)) is not None:
        started = time.monotonic()
        try:
            opinion = judge_text(
                question.text,
                model.score(question.text),
                onset_character=question.onset_character,
            )
            reply: Reply = Answered(opinion, time.monotonic() - started)
        except Exception as error:  # the supervisor: one text that breaks the model costs one text
            reply = Unanswered(type(error).__name__)  # its words could quote the text
        send(replies, reply)


def send(replies: BinaryIO, reply: Reply) -> None:
    """One frame, at once."""
    replies.write(pack(reply))
    replies.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
