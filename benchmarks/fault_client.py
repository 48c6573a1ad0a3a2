"""A client that believes nothing: reads a streamed answer and says what was wrong with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import aiohttp

from benchmarks.fault_replica import answer, request_body

TIMEOUT_SECONDS = 5.0
MAX_TOKENS = 200


@dataclass(slots=True)
class Seen:
    """What of one answer reached the client.

    Attributes:
        malformed: events that are no JSON.
        trouble: why it ended early, or how it was refused.
    """

    text: str = ""
    finish_reasons: list[str] = field(default_factory=list)
    dones: int = 0
    malformed: int = 0
    trouble: str = ""

    def take(self, line: bytes) -> None:
        """One line of the stream."""
        if not line.startswith(b"data:"):
            return
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            self.dones += 1
            return
        try:
            payload = json.loads(data)
        except ValueError:
            self.malformed += 1
            return
        self._take_payload(payload)

    def _take_payload(self, payload: dict[str, Any]) -> None:
        if payload.get("error"):
            self.trouble = self.trouble or "in-band error"
        for choice in payload.get("choices") or ():
            self.text += (choice.get("delta") or {}).get("content") or ""
            if choice.get("finish_reason"):
                self.finish_reasons.append(choice["finish_reason"])


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer's grade.

    Attributes:
        problem: empty for a complete and clean answer.
        bad_tokens: delivered ones that are no part of the right answer.
    """

    problem: str
    bad_tokens: int


def judge(seen: Seen, right: list[str]) -> Judged:
    """Clean is exactly the right text, one finish reason ``stop``, one ``[DONE]``, no trouble."""
    bad = bad_tokens(seen.text, right) + seen.malformed
    problem = seen.trouble
    if not problem and bad:
        problem = "bad tokens"
    if not problem and seen.text != "".join(right):
        problem = "incomplete"
    if not problem and (seen.finish_reasons != ["stop"] or seen.dones != 1):
        problem = f"ended with {seen.finish_reasons} and {seen.dones} [DONE]"
    return Judged(problem, bad)


def bad_tokens(text: str, right: list[str]) -> int:
    """Words between the right beginning and the right end; each ``!!!!`` is one.

    A continuation that goes on rightly after leaked tokens adds none.
    """
    found = text.replace("!!!!", " !!!! ").split()
    good = [token.strip() for token in right]
    before = _equal(found, good)
    return len(found) - before - _equal(found[before:][::-1], good[before:][::-1])


def _equal(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


async def ask(session: aiohttp.ClientSession, address: str, name: str) -> Judged:
    """One streamed chat through a proxy, judged."""
    seen = Seen()
    try:
        await _read(session, address, name, seen)
    except TimeoutError:
        seen.trouble = seen.trouble or f"client timed out after {TIMEOUT_SECONDS:.0f} s"
    except (aiohttp.ClientError, ConnectionError):
        seen.trouble = seen.trouble or "cut"
    return judge(seen, answer(name))


async def _read(session: aiohttp.ClientSession, address: str, name: str, seen: Seen) -> None:
    url, body = f"{address}/v1/chat/completions", request_body(name, MAX_TOKENS)
    limit = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with session.post(url, json=body, timeout=limit) as response:
        if response.status != 200:
            seen.trouble = f"status {response.status}"
            return
        async for line in response.content:
            seen.take(line)
