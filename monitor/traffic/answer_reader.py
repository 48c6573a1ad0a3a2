"""Reads a streamed answer as it comes. No I/O; times are given.

An event is decoded until the first one with text, and at the end the last few: a generator of load
that decoded all of them would measure itself.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.traffic.outcome import Failure, Sanitizer

_LAST_EVENTS = 4  # finish, usage, a comment of specwatch, [DONE]
_LONGEST_EVENT = 32 * 1024 * 1024
_VERDICT = re.compile(rb"^: ?specwatch verdict=([a-z_]{1,40}) attempts=(\d{1,3})")
_KNOWN_VERDICT = re.compile(r"[a-z_]{1,40}")
_decode = msgspec.json.Decoder().decode


class AnswerReader:
    """One answer.

    Attributes:
        first_token_at, last_token_at: by the times given to ``feed``.
        failure: what went wrong within the stream.
        prompt_tokens, completion_tokens, verdict, attempts, sanitizer: see ``Outcome``; the first
            four are known after ``finish``.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        told = headers.get("x-specwatch-verdict", "none")
        is_finding = told not in ("none", "pending", "unwatched")
        self.verdict = told if is_finding and _KNOWN_VERDICT.fullmatch(told) else None
        attempts = headers.get("x-specwatch-attempts", "")
        self.attempts = int(attempts) if attempts.isascii() and attempts.isdigit() else None
        self.first_token_at: float | None = None
        self.last_token_at: float | None = None
        self.failure: Failure | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.sanitizer: Sanitizer | None = None
        self._rest = b""
        self._last: deque[bytes] = deque(maxlen=_LAST_EVENTS)
        self._is_finished = False

    def feed(self, data: bytes, now: float) -> None:
        """Bytes of the body arrived."""
        events = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        self._rest = events.pop()
        if len(self._rest) > _LONGEST_EVENT:
            self.failure = Failure.MALFORMED
            self._rest = b""
        for event in events:
            self._take(event, now)

    def finish(self) -> None:
        """The body is complete."""
        for event in self._last:
            payload = self._payload(event)
            if payload is not None:
                self._read(payload)
        if self.failure is None and not self._is_finished:
            self.failure = Failure.CUT

    def _take(self, event: bytes, now: float) -> None:
        if event.startswith(b":"):
            self._comment(event)
            return
        if event.endswith(b"[DONE]"):
            return
        if self.first_token_at is None:
            payload = self._payload(event)
            if payload is not None and has_text(payload):
                self.first_token_at = now
        if self.first_token_at is not None:
            self.last_token_at = now
        self._last.append(event)

    def _comment(self, event: bytes) -> None:
        found = _VERDICT.match(event)
        if found is not None:
            self.verdict, self.attempts = found[1].decode(), int(found[2])

    def _payload(self, event: bytes) -> dict[str, Any] | None:
        data = b"\n".join(
            line[5:] for line in event.split(b"\n") if line.startswith(b"data:")
        ).strip()
        if not data or data == b"[DONE]":
            return None
        try:
            payload = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            self.failure = self.failure or Failure.MALFORMED
            return None
        return payload

    def _read(self, payload: dict[str, Any]) -> None:
        if payload.get("error") is not None:
            self.failure = Failure.IN_BAND
        meta = _object(payload, "meta_info")
        usage = _object(payload, "usage") or meta
        self.prompt_tokens = _count(usage, "prompt_tokens", self.prompt_tokens)
        self.completion_tokens = _count(usage, "completion_tokens", self.completion_tokens)
        self._finish_reason(meta.get("finish_reason"))
        for choice in _choices(payload):
            self._finish_reason(choice.get("finish_reason"))
        told = meta.get("kv_sanitizer", payload.get("kv_sanitizer"))
        if isinstance(told, dict):
            self.sanitizer = read_sanitizer(told)

    def _finish_reason(self, reason: object) -> None:
        kind = reason.get("type") if isinstance(reason, dict) else reason
        if kind == "abort":
            self.failure = self.failure or Failure.IN_BAND
        self._is_finished = self._is_finished or reason is not None


def has_text(payload: Mapping[str, Any]) -> bool:
    """The event carries some of the answer, or of its reasoning or tool calls."""
    if payload.get("text") or payload.get("output_ids"):
        return True
    for choice in _choices(payload):
        if choice.get("text"):
            return True
        delta = _object(choice, "delta")
        if any(delta.get(name) for name in ("content", "reasoning_content", "tool_calls")):
            return True
    return False


def read_sanitizer(told: Mapping[str, Any]) -> Sanitizer:
    """Counts of tokens by cause; what is no count is 0."""
    writers = told.get("writers")
    names = writers if isinstance(writers, list) else []
    return Sanitizer(
        foreign=_count(told, "foreign", None) or 0,
        stale=_count(told, "stale", None) or 0,
        unready=_count(told, "unready", None) or 0,
        derived=_count(told, "derived", None) or 0,
        writers=tuple(_writer(name)[:80] for name in names[:100]),
    )


def _writer(told: object) -> str:
    """How the integrated engine's writer wrote (``transfer`` …): its request's id says nothing."""
    return str(told.get("by")) if isinstance(told, dict) else str(told)


def _choices(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = payload.get("choices")
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


def _object(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _count(holder: Mapping[str, Any], name: str, known: int | None) -> int | None:
    value = holder.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else known
