"""What is told of a request and of its attempts: numbers and names, no text. Pure.

Names as in OpenTelemetry's GenAI conventions (repository semantic-conventions-genai, October 2026:
the span ``gen_ai.client.inference``, the event ``gen_ai.evaluation.result``; still in development);
what those do not have begins with ``specwatch.``.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from detectors.verdict import Verdict
from monitor.records import accept_length, accept_rate
from retry_proxy.engines.call import Route
from retry_proxy.events import AttemptEnded, AttemptOutcome, RequestEnded, RequestOutcome

Value = str | int | float | bool
Attributes = dict[str, Value]

EVALUATION = "gen_ai.evaluation.result"
_LONGEST_NAME = 200  # a model's name is whatever the client wrote

_OPERATIONS: Mapping[str, str] = {
    Route.CHAT: "chat",
    Route.MESSAGES: "chat",
    Route.RESPONSES: "chat",
    Route.COMPLETIONS: "text_completion",
    Route.GENERATE: "text_completion",
}
_FAILED = (AttemptOutcome.CONNECT_FAILED, AttemptOutcome.UPSTREAM_ERROR, AttemptOutcome.REJECTED)


def operation(route: str) -> str:
    """By the route that was asked."""
    return _OPERATIONS.get(route, "text_completion")


def attempt_name(event: AttemptEnded) -> str:
    """As the conventions want it: operation and model."""
    return f"{operation(event.route)} {event.model[:_LONGEST_NAME]}".rstrip()


def request_name(event: RequestEnded) -> str:
    """As for any HTTP server."""
    return f"POST {event.route}"


def attempt_attributes(event: AttemptEnded) -> Attributes:
    """Of one call to one engine."""
    address = urlsplit(event.replica)
    return _told(
        {
            "gen_ai.operation.name": operation(event.route),
            "gen_ai.provider.name": event.engine,
            "gen_ai.request.model": event.model[:_LONGEST_NAME] or None,
            "gen_ai.request.temperature": event.temperature,
            "gen_ai.response.id": event.rid,
            "gen_ai.usage.input_tokens": event.prompt_tokens,
            "gen_ai.usage.output_tokens": event.completion_tokens,
            "server.address": address.hostname,
            "server.port": address.port or (443 if address.scheme == "https" else 80),
            "error.type": attempt_error(event),
            "specwatch.request.id": event.request_id,
            "specwatch.attempt.number": event.attempt,
            "specwatch.attempt.outcome": event.outcome.value,
            "specwatch.attempt.is_hedge": event.is_hedge,
            "specwatch.accept_length": accept_length(event.steps, event.accepted),
            "specwatch.accept_rate": accept_rate(event.drafted, event.accepted),
            "specwatch.released_tokens": event.released_tokens,
            "specwatch.leaked_tokens": event.leaked_tokens,
            "specwatch.wasted_tokens": event.wasted_tokens,
            "specwatch.held_seconds": event.held_seconds,
        }
    )


def request_attributes(event: RequestEnded) -> Attributes:
    """Of what the client asked, all attempts together."""
    return _told(
        {
            "http.request.method": "POST",
            "http.route": event.route,
            "gen_ai.operation.name": operation(event.route),
            "gen_ai.request.model": event.model[:_LONGEST_NAME] or None,
            "gen_ai.request.stream": event.is_streaming,
            "gen_ai.response.time_to_first_chunk": event.time_to_first_byte_seconds,
            "gen_ai.usage.output_tokens": event.completion_tokens,
            "error.type": request_error(event),
            "specwatch.request.id": event.request_id,
            "specwatch.request.outcome": event.outcome.value,
            "specwatch.attempts": event.attempts,
            "specwatch.added_delay_seconds": event.added_delay_seconds,
            "specwatch.leaked_tokens": event.leaked_tokens,
            "specwatch.wasted_tokens": event.wasted_tokens,
            "specwatch.retry_refused": event.retry_refused,
        }
    )


def verdict_attributes(verdict: Verdict, rid: str) -> Attributes:
    """Of the event that a finding is."""
    return _told(
        {
            "gen_ai.evaluation.name": f"specwatch.{verdict.detector}",
            "gen_ai.evaluation.score.value": verdict.score,
            "gen_ai.evaluation.score.label": verdict.kind.value,
            "gen_ai.evaluation.explanation": verdict.reason or None,
            "gen_ai.response.id": rid,
            "specwatch.onset_token": verdict.onset_token,
            "specwatch.alarm_token": verdict.alarm_token,
        }
    )


def attempt_error(event: AttemptEnded) -> str | None:
    """The class of what went wrong, few of them; ``None`` where the engine did its work."""
    if event.outcome is AttemptOutcome.ANOMALY and event.verdict is not None:
        return event.verdict.kind.value
    if event.outcome not in _FAILED:
        return None
    return event.outcome.value if event.error is None else event.error.partition(":")[0]


def request_error(event: RequestEnded) -> str | None:
    """The same of a request: a client that leaves, or asks for what there is not, is no fault."""
    return event.outcome.value if event.outcome is RequestOutcome.ERROR else None


def _told(values: Mapping[str, Value | None]) -> Attributes:
    return {name: value for name, value in values.items() if value is not None}
