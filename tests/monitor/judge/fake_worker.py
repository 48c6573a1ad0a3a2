"""Stands in for the judge's process: speaks its frames without a model.

A question's text is an order: ``die``, ``hang``, ``nonsense``, ``fail``; any other is judged by its
first word: ``sick``, ``fine``, ``unsure``.
"""

import sys
import time

from monitor.judge.frames import Answered, Failed, Ready, Unanswered, pack, read_question
from monitor.judge.opinion import Opinion, SecondOpinion


def main(mode: str) -> None:
    """``ready``, or how the start fails."""
    if mode == "dies":
        sys.exit(3)
    if mode == "hangs":
        time.sleep(60)
    write(pack(Failed("no model there") if mode == "fails" else Ready()))
    while mode == "ready" and (question := read_question(sys.stdin.buffer)) is not None:
        write(reply_to(question.text))


def reply_to(text: str) -> bytes:
    if text == "die":
        sys.exit(3)
    if text == "hang":
        time.sleep(60)
    if text == "nonsense":
        return b"\x00\x00\x00\x02xx"
    if text == "fail":
        return pack(Unanswered("RuntimeError"))
    opinion = Opinion(text.split(maxsplit=1)[0])
    found = SecondOpinion(opinion=opinion, reason="by order", tokens=99)
    return pack(Answered(found, 0.25))


def write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
