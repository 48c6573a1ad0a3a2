"""From an ended request to its line in the recording. Pure."""

from dataclasses import dataclass

from monitor.traffic.blocks import prompt_shape
from monitor.traffic.trace import Line, sampling_of
from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.events import AttemptEnded, RequestEnded, RequestOutcome

# A model's name is a client's text until a replica has answered for it.
_NAMES_A_REAL_MODEL = (RequestOutcome.CLEAN, RequestOutcome.RETRIED_CLEAN, RequestOutcome.MARKED)


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that is over.

    Attributes:
        attempts: in their order.
    """

    call: GenerationCall
    request: RequestEnded
    attempts: tuple[AttemptEnded, ...]


def line_of(ended: Ended, salt: bytes, began_at: float) -> Line:
    """Its line. Every text in it is one of our own words, but for the name of a real model.

    Args:
        began_at: unix time of the recording's beginning, seconds.
    """
    call, request = ended.call, ended.request
    shape = prompt_shape(call.body, salt)
    counted = counted_prompt(ended.attempts)
    verdicts = [one.verdict.kind.value for one in ended.attempts if one.verdict is not None]
    first_byte = request.time_to_first_byte_seconds
    sampling = call.body.get("sampling_params") if call.route is Route.GENERATE else call.body
    settings = sampling if isinstance(sampling, dict) else {}
    return Line(
        timestamp=round(max(0.0, request.started_at - began_at) * 1000),
        input_length=shape.tokens if counted is None else counted,
        output_length=request.completion_tokens,
        hash_ids=shape.hashes,
        started_at=round(request.started_at, 3),
        is_counted=counted is not None,
        route=call.route.value,
        model=request.model if request.outcome in _NAMES_A_REAL_MODEL else None,
        is_streaming=request.is_streaming,
        sampling=sampling_of(settings),
        max_tokens=call.max_tokens,
        stops=_count(settings.get("stop")),
        outcome=request.outcome.value,
        verdict=verdicts[-1] if verdicts else None,
        attempts=request.attempts,
        duration_ms=round(request.duration_seconds * 1000),
        first_byte_ms=None if first_byte is None else round(first_byte * 1000),
    )


def counted_prompt(attempts: tuple[AttemptEnded, ...]) -> int | None:
    """The prompt's length as an engine counted it; not by one that continued an answer."""
    for attempt in attempts:
        if attempt.prompt_tokens is not None and attempt.prompt_tokens > 0:
            return attempt.prompt_tokens
        if attempt.released_tokens > 0:
            return None  # later prompts contain what was released
    return None


def _count(stop: object) -> int:
    if isinstance(stop, list):
        return len(stop)
    return 1 if isinstance(stop, str) else 0
