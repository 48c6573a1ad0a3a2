"""The demo's client: sends one chat request and reads the stream to its end."""

import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

REQUEST_TIMEOUT_SECONDS = 150.0
REQUEST_ID_HEADER = "x-specwatch-request-id"


@dataclass(slots=True)
class Reply:
    """What came back.

    Attributes:
        request_id: the proxy's, where there is one.
        completion_tokens: as the server said; ``0`` if it did not.
    """

    request_id: str | None = None
    text: str = ""
    finish_reason: str | None = None
    completion_tokens: int = 0
    has_done: bool = False
    error: str | None = None
    seconds: float = 0.0

    @property
    def is_full(self) -> bool:
        """It came to its own end, and was said to."""
        return self.has_done and self.finish_reason in ("stop", "length") and self.error is None


def chat_body(
    prompt: str, model: str, max_tokens: int, temperature: float, rid: str | None
) -> dict[str, Any]:
    """The request. ``rid`` names the generation to an engine that is asked directly."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "ignore_eos": True,  # full length: the published rule speaks after 128 tokens only
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return body if rid is None else {**body, "rid": rid}


def take_line(reply: Reply, line: bytes) -> None:
    """Add one line of the stream to ``reply``."""
    if not line.startswith(b"data:"):
        return
    data = line[5:].strip()
    if data == b"[DONE]":
        reply.has_done = True
        return
    try:
        chunk = msgspec.json.decode(data)
    except msgspec.DecodeError:
        reply.error = "the stream held something that is not JSON"
        return
    if isinstance(chunk, dict):
        take_chunk(reply, chunk)


def take_chunk(reply: Reply, chunk: dict[str, Any]) -> None:
    """Add one chunk of the stream to ``reply``."""
    if chunk.get("error"):
        reply.error = str(chunk["error"])
    for choice in chunk.get("choices") or ():
        reply.text += (choice.get("delta") or {}).get("content") or ""
        reply.finish_reason = choice.get("finish_reason") or reply.finish_reason
    usage = chunk.get("usage") or {}
    reply.completion_tokens = usage.get("completion_tokens", reply.completion_tokens)


async def ask(session: aiohttp.ClientSession, address: str, body: dict[str, Any]) -> Reply:
    """One request; whatever goes wrong is told in the reply, never raised."""
    reply, started = Reply(), time.monotonic()
    try:
        async with session.post(
            f"{address}/v1/chat/completions",
            json=body,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
        ) as response:
            reply.request_id = response.headers.get(REQUEST_ID_HEADER)
            if response.status != 200:
                reply.error = f"HTTP {response.status}: {(await response.text())[:300]}"
            else:
                async for line in response.content:
                    take_line(reply, line.strip())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        reply.error = f"{type(error).__name__}: {error}"
    reply.seconds = time.monotonic() - started
    return reply
