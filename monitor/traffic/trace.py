"""One request of a trace, whatever the format of its file. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

BLOCK_TOKENS = 512  # Mooncake's

# Numbers only: a client could put text into any other field.
SAMPLING_KEYS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "n",
)

Sampling = Mapping[str, float]
"""Settings that the client named, by their names in the OpenAI API."""


class TraceRequest(msgspec.Struct, frozen=True):
    """When a request came, and how large it was.

    Attributes:
        at_seconds: after the first request of the trace.
        input_tokens, output_tokens: of the prompt and of the answer that was delivered.
        blocks: one id for each ``block_tokens`` of the prompt, the last one perhaps not full. Two
            requests with the same id at some place have the same prompt up to there. Empty where
            the trace does not tell.
        sampling: empty where the trace does not tell.
        record: the line's own further fields (outcome, attempts …), for who reads recordings.
    """

    at_seconds: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    block_tokens: int = BLOCK_TOKENS
    sampling: dict[str, float] = {}
    record: "Line | None" = None


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of a trace: Mooncake's four fields, then what specwatch adds; others are ignored.

    Attributes:
        timestamp: milliseconds after the recording began.
        hash_ids: see ``TraceRequest.blocks``.
        started_at: unix time, seconds; joins the recordings of several proxies.
        is_counted: the engine counted ``input_length``; else it is estimated from bytes.
        max_tokens: the client's own limit.
        outcome, verdict, attempts: what the client got, the last finding's kind, the dispatches.
    """

    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int] = []
    block_tokens: int = BLOCK_TOKENS
    started_at: float | None = None
    is_counted: bool = False
    route: str | None = None
    model: str | None = None
    is_streaming: bool | None = None
    sampling: dict[str, float] = {}
    max_tokens: int | None = None
    stops: int = 0
    outcome: str | None = None
    verdict: str | None = None
    attempts: int | None = None
    duration_ms: float | None = None
    first_byte_ms: float | None = None


_DECODER = msgspec.json.Decoder(Line)
_MOST_TOKENS = 100_000_000  # more is a broken file, and would be built into a prompt


def parse_line(content: bytes) -> Line:
    """One line of JSON.

    Raises:
        ValueError: not JSON, not a request, or a number out of range; the message says which.
    """
    try:
        line = _DECODER.decode(content)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a request of a trace: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}); was the file cut off?") from error
    for name in ("input_length", "output_length"):
        check_length(name, getattr(line, name))
    if not 1 <= line.block_tokens <= _MOST_TOKENS:
        raise ValueError(f"block_tokens must be at least 1, got {line.block_tokens}")
    if line.input_length == 0:
        raise ValueError("input_length must be at least 1: there is no request without a prompt")
    return line


def check_length(name: str, value: int) -> None:
    """A number of tokens.

    Raises:
        ValueError: it is none.
    """
    if not 0 <= value <= _MOST_TOKENS:
        raise ValueError(f"{name} must be between 0 and {_MOST_TOKENS}, got {value}")


def requests_of(lines: Sequence[Line]) -> list[TraceRequest]:
    """In the order of their arrival, the first at 0.

    Recordings of several proxies are joined by ``started_at`` where every line has one.
    """
    has_clock = all(line.started_at is not None for line in lines)
    timed = [
        (line.started_at if has_clock and line.started_at is not None else line.timestamp / 1000)
        for line in lines
    ]
    first = min(timed, default=0.0)
    pairs = sorted(zip(timed, lines, strict=True), key=lambda pair: pair[0])
    return [_request(at - first, line) for at, line in pairs]


def _request(at_seconds: float, line: Line) -> TraceRequest:
    return TraceRequest(
        at_seconds=at_seconds,
        input_tokens=line.input_length,
        output_tokens=line.output_length,
        blocks=tuple(line.hash_ids),
        block_tokens=line.block_tokens,
        sampling={key: line.sampling[key] for key in SAMPLING_KEYS if key in line.sampling},
        record=line,
    )


def sampling_of(body: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the settings of a request body."""
    found = {}
    for key in SAMPLING_KEYS:
        value = body.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[key] = value
    return found
