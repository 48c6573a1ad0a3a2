"""Asks replicas what they are, and whether unreachable ones are back. Waits; decides nothing."""

import asyncio
import contextlib
from typing import Any

import msgspec

from retry_proxy.engines.detect import DENIED, IDENTITY_PATHS, PROBED_PATHS, is_known
from retry_proxy.errors import (
    ConnectFailed,
    ProbeDenied,
    StreamStalled,
    UpstreamError,
    UpstreamStatus,
)
from retry_proxy.stream.upstream import Upstream

_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_DENIED = (401, 403)
_NOT_YET = (502, 503, 504)  # it loads its model, or is too busy to say


async def fetch_answers(
    upstream: Upstream,
    address: str,
    timeout_seconds: float,
    *,
    api_key: str | None = None,
    wanted: str = "auto",
) -> dict[str, Any]:
    """The replica's answers to the probed paths.

    Args:
        api_key: sent as a bearer token.
        wanted: the engine's name where the operator gave it: it need not tell itself then.

    Raises:
        ConnectFailed: it takes no connection, or does not say what it is although it might soon,
            or with a key: taken for an engine without acceptance, it would be watched by nobody
            from then on.
    """
    headers = [] if api_key is None else [("authorization", f"Bearer {api_key}")]
    answers = await asyncio.gather(
        *(_fetch(upstream, address + path, timeout_seconds, headers) for path in PROBED_PATHS)
    )
    by_path = dict(zip(PROBED_PATHS, answers, strict=True))
    told = [by_path[path] for path in IDENTITY_PATHS]
    failed = [answer for answer in told if isinstance(answer, UpstreamError)]
    got = {path: _without_error(answer) for path, answer in by_path.items()}
    if not failed or any(isinstance(answer, dict) for answer in told):
        return got
    if all(isinstance(error, ProbeDenied) for error in failed) and is_known(got, wanted):
        return got
    raise ConnectFailed(f"it does not tell what it is: {failed[0]}")


def _without_error(answer: Any) -> Any:
    if isinstance(answer, ProbeDenied):
        return DENIED
    return None if isinstance(answer, UpstreamError) else answer


async def _fetch(
    upstream: Upstream, url: str, timeout_seconds: float, headers: list[tuple[str, str]]
) -> Any:
    """The decoded answer, ``None`` if there is none, or the error as a value."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _read(upstream, url, timeout_seconds, headers)
    except TimeoutError:
        return StreamStalled(f"no answer to a probe within {timeout_seconds} s")
    except UpstreamError as error:
        return error


async def _read(
    upstream: Upstream, url: str, timeout_seconds: float, headers: list[tuple[str, str]]
) -> Any:
    response = await upstream.open(
        "GET", url, headers=headers, body=None, timeout_seconds=timeout_seconds
    )
    try:
        if response.status in _DENIED:
            raise ProbeDenied(
                f"a probe was answered with status {response.status}: give probe_api_key, "
                "or name the engine"
            )
        if response.status in _NOT_YET:
            raise UpstreamStatus(f"a probe was answered with status {response.status}")
        if response.status != 200:
            return None
        body = await response.read(_MAX_ANSWER_BYTES)
    finally:
        response.close()
    if url.endswith("/metrics"):
        return body.decode(errors="replace")
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(body)
    return None
