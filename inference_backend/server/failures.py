"""Which error becomes which HTTP status and JSON, on the OpenAI routes and on SGLang's."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from inference_backend.errors import (
    BackendError,
    EngineBusy,
    EngineStopped,
    InvalidRequest,
    TransferFailed,
)


class UnknownModel(BackendError):
    """The request names a model that is not served here: HTTP 404."""


class BodyTooLarge(BackendError):
    """The request body is over the limit: HTTP 413."""


class Failure(NamedTuple):
    status: int
    kind: str
    code: str | None
    is_retryable: bool


FAILURES: Mapping[type[BackendError], Failure] = {
    InvalidRequest: Failure(400, "invalid_request_error", None, False),
    UnknownModel: Failure(404, "invalid_request_error", "model_not_found", False),
    BodyTooLarge: Failure(413, "invalid_request_error", "request_too_large", False),
    EngineBusy: Failure(503, "service_unavailable_error", "engine_busy", True),
    TransferFailed: Failure(503, "service_unavailable_error", "kv_transfer_failed", True),
    EngineStopped: Failure(503, "service_unavailable_error", "engine_stopped", True),
}
INTERNAL = Failure(500, "internal_error", None, True)


def failure_of(error: BackendError) -> Failure:
    return FAILURES.get(type(error), INTERNAL)


ErrorFormat = Callable[[BackendError], bytes]


def openai_error(error: BackendError) -> bytes:
    """OpenAI's schema."""
    failure = failure_of(error)
    fields: dict[str, Any] = {
        "message": str(error),
        "type": failure.kind,
        "param": None,
        "code": failure.code or failure.status,
    }
    return msgspec.json.encode({"error": fields})


def native_error(error: BackendError) -> bytes:
    """The schema of SGLang's /generate."""
    failure = failure_of(error)
    fields: dict[str, Any] = {
        "message": str(error),
        "type": failure.kind,
        "code": failure.status,
        "retryable": failure.is_retryable,
    }
    return msgspec.json.encode({"error": fields})
