"""Errors of the proxy.

ProxyError
├── InvalidConfig             ours to fix: the options
├── RefusedAddress            it must not become a replica
├── UnknownReplica            an order for none of the fleet's
├── ClientError               the client's fault
│   ├── InvalidBody             400: not JSON, not an object, too deep, a wrong field
│   └── BodyTooLarge            413
├── UpstreamError             the engine's fault: the attempt is retried
│   ├── ProbeDenied             a probe needs a key (401, 403)
│   ├── ConnectFailed           nothing was sent
│   ├── CannotContinueHere      nothing was sent: the engine takes no continuation
│   ├── UpstreamStatus          an error status
│   ├── StreamCut               ended before its end
│   ├── StreamStalled           silent for too long
│   ├── MalformedStream         not the SSE or JSON that was agreed on
│   └── EngineReportedError     an error inside the stream
└── Unanswered                what the client is told when no attempt helped
    ├── NoReplicaReachable      503
    ├── UpstreamFailed          502
    ├── AnomalyPersisted        502
    └── NotContinuable          502, after text was released
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

ErrorBody = Callable[[str, str, int], dict[str, Any]]
"""(message, code, status) -> the body."""


class ProxyError(Exception):
    """Base of all errors raised on purpose by ``retry_proxy``."""


class InvalidConfig(ProxyError):
    """An option is unknown or out of range; the message names it."""


class RefusedAddress(ProxyError):
    """An address must not become a replica; the message says why."""


class UnknownReplica(ProxyError):
    """An operator named an address that is no replica."""


class ClientError(ProxyError):
    """The request cannot be served as it is."""

    status = HTTPStatus.BAD_REQUEST
    code = "invalid_request"


class InvalidBody(ClientError):
    """The body is not what the route takes."""


class BodyTooLarge(ClientError):
    """The body is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"


class UpstreamError(ProxyError):
    """An attempt failed for a reason on the engine's side."""

    reason = "upstream_error"


class ConnectFailed(UpstreamError):
    """No connection: nothing was sent."""

    reason = "connect_failed"


class ProbeDenied(UpstreamError):
    """The engine wants a key before it tells what it is."""

    reason = "probe_denied"


class CannotContinueHere(UpstreamError):
    """The replica's engine takes no continuation of this answer: nothing was sent."""

    reason = "cannot_continue"


class UpstreamStatus(UpstreamError):
    """The engine answered with a 5xx status."""

    reason = "upstream_status"


class StreamCut(UpstreamError):
    """The stream ended before its finish reason."""

    reason = "stream_cut"


class StreamStalled(UpstreamError):
    """No byte came for longer than allowed."""

    reason = "stream_stalled"


class MalformedStream(UpstreamError):
    """The bytes are not the SSE framing or JSON that was agreed on."""

    reason = "malformed_stream"


class EngineReportedError(UpstreamError):
    """The engine told an error inside a stream that began with status 200."""

    reason = "engine_error"


class Unanswered(ProxyError):
    """No attempt gave an answer. Told to the client in the error schema of the API it asked."""

    status = HTTPStatus.BAD_GATEWAY
    code = "upstream_failed"
    should_retry = False  # the attempts were made; SDKs would multiply them


class NoReplicaReachable(Unanswered):
    """No replica took the request."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "no_replica_reachable"
    should_retry = True  # no engine saw the request


class UpstreamFailed(Unanswered):
    """Replicas took the request and failed."""

    code = "upstream_failed"


class AnomalyPersisted(Unanswered):
    """Every allowed attempt showed an anomaly."""

    code = "anomaly_persisted"


class NotContinuable(Unanswered):
    """The attempt was stopped after text had been released.

    And this kind of request cannot be continued.
    """

    code = "not_continuable"


def error_body(message: str, code: str, status: int) -> dict[str, Any]:
    """OpenAI's error schema."""
    kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic_error_body(message: str, code: str, status: int) -> dict[str, Any]:
    """Anthropic's error schema, and the code that tells our errors apart."""
    kind = _ANTHROPIC_TYPES.get(status)
    if kind is None:
        is_client = status < HTTPStatus.INTERNAL_SERVER_ERROR
        kind = "invalid_request_error" if is_client else "api_error"
    return {"type": "error", "error": {"type": kind, "message": message, "code": code}}


def error_body_for(path: str) -> ErrorBody:
    """The error schema of the API that a path belongs to."""
    return anthropic_error_body if path.startswith("/v1/messages") else error_body


_ANTHROPIC_TYPES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}
