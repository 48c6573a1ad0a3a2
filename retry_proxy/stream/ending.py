"""How an attempt ended, and the reading of what an engine sends in place of a stream."""

import asyncio
import enum
from dataclasses import dataclass

from detectors.verdict import Verdict
from retry_proxy.decide.retry import Decision
from retry_proxy.errors import UpstreamError, UpstreamStatus
from retry_proxy.headers import Headers
from retry_proxy.stream.upstream import UpstreamResponse

_MAX_ERROR_BYTES = 1024 * 1024
_DRAIN_SECONDS = 1.0


class EndKind(enum.Enum):
    """How an attempt ended."""

    COMPLETED = "completed"
    STOPPED = "stopped"  # by a verdict
    CONNECT_FAILED = "connect_failed"
    FAILED = "failed"
    REJECTED = "rejected"  # 4xx
    OUTRUN = "outrun"  # another replica, asked beside it, was quicker


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended, with what the relay needs to go on."""

    kind: EndKind
    decision: Decision | None = None
    error: UpstreamError | None = None
    verdict: Verdict | None = None
    status: int = 0
    headers: Headers | None = None
    body: bytes = b""


async def read_refusal(response: UpstreamResponse) -> AttemptEnd:
    """Reads an answer whose status is not 200."""
    body = await response.read(_MAX_ERROR_BYTES)
    if 400 <= response.status < 500:
        return AttemptEnd(
            EndKind.REJECTED, status=response.status, headers=response.headers, body=body
        )
    error = UpstreamStatus(f"the engine answered with status {response.status}")
    return AttemptEnd(EndKind.FAILED, error=error)


async def drain(response: UpstreamResponse) -> None:
    """Reads what follows ``[DONE]``, so that the connection can be used again."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await response.next(_DRAIN_SECONDS):
                pass
    except (UpstreamError, TimeoutError):
        pass
    finally:
        response.close()
