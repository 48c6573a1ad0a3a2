"""An engine to ablate, without a model: ``python -m tests.fakes.ablated PORT KIND``.

Of every ten requests, from the first: two read wrong cache (one of them loops), one is given up,
one is cut, six are well. KIND ``fail``: it does not start, and leaves a child of its own behind;
``die``: it ends at its fifth request; ``cold``: it gives its first three requests up.
"""

import asyncio
import os
import subprocess
import sys

from tests.fakes.target import Reply, Target

LOOP = "the cat sat on the mat and " * 40
SICK = {
    0: Reply(sanitizer={"foreign": 3, "derived": 9, "writers": [{"rid": "r", "by": "transfer"}]}),
    1: Reply(sanitizer={"unready": 1}, text=LOOP),
    2: Reply(status=503),
    3: Reply(is_cut=True),
}
WELL = Reply(sanitizer={"foreign": 0, "stale": 0, "unready": 0, "derived": 0, "writers": []})


def reply(number: int) -> Reply:
    """By the number of the request."""
    return SICK.get(number % 10, WELL)


def dying(number: int) -> Reply:
    """At the fifth."""
    if number == 4:
        os._exit(3)
    return WELL


def cold(number: int) -> Reply:
    """The first three are too late; then come the two that find out how it counts."""
    return Reply(status=503) if number < 3 else reply(number - 5)


async def serve(port: int, kind: str) -> None:
    answers = {"die": dying, "cold": cold}.get(kind, reply)
    calibrations = 0 if kind == "cold" else 2
    async with Target(answers, port=port, calibrations=calibrations):
        await asyncio.Event().wait()


def main() -> None:
    port, kind = int(sys.argv[1]), sys.argv[2]
    if kind == "fail":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(f"child {child.pid}\nerror: no such model", flush=True)
        sys.exit(1)
    asyncio.run(serve(port, kind))


if __name__ == "__main__":
    main()
