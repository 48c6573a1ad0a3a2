"""Asks replicas what they are, and whether unreachable ones are back. Waits; decides nothing."""

import asyncio
import contextlib
from typing import Any

import msgspec

from retry_proxy.engines.detect import PROBED_PATHS
from retry_proxy.errors import ConnectFailed, UpstreamError
from retry_proxy.stream.upstream import Upstream

_MAX_ANSWER_BYTES = 4 * 1024 * 1024


async def fetch_answers(upstream: Upstream, address: str, timeout_seconds: float) -> dict[str, Any]:
    """The replica's answers to the probed paths.

    Raises:
        ConnectFailed: it takes no connection, or answers nothing at all.
    """
    answers = await asyncio.gather(
        *(_fetch(upstream, address + path, timeout_seconds) for path in PROBED_PATHS)
    )
    if all(isinstance(answer, UpstreamError) for answer in answers):
        raise ConnectFailed(f"no answer to any probe: {answers[0]}")
    return {
        path: None if isinstance(answer, UpstreamError) else answer
        for path, answer in zip(PROBED_PATHS, answers, strict=True)
    }


async def _fetch(upstream: Upstream, url: str, timeout_seconds: float) -> Any:
    try:
        response = await upstream.open(
            "GET", url, headers=[], body=None, timeout_seconds=timeout_seconds
        )
    except UpstreamError as error:
        return error
    try:
        if response.status != 200:
            return None
        body = await response.read(_MAX_ANSWER_BYTES)
    except UpstreamError as error:
        return error
    finally:
        response.close()
    if url.endswith("/metrics"):
        return body.decode(errors="replace")
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(body)
    return None
