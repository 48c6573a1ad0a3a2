"""What the relay asks of an engine, and the values that pass between them."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from detectors.observation import Observation
from retry_proxy.engines.call import GenerationCall


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the client already has of an answer, and a continuation starts from.

    Attributes:
        tokens: how many generated tokens it is.
        token_ids: their ids, ``None`` where the engine did not send all of them.
        prompt_token_ids: the prompt as the engine tokenised it, ``None`` if not told.
    """

    text: str
    tokens: int
    token_ids: tuple[int, ...] | None = None
    prompt_token_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """How one attempt differs from the client's request.

    Attributes:
        number: 1 for the first dispatch of the request.
    """

    rid: str
    prefix: Prefix | None = None
    cache_salt: str | None = None
    number: int = 1


@dataclass(frozen=True, slots=True)
class AbortCall:
    """The request that makes an engine stop a generation."""

    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """What a replica said about itself.

    Attributes:
        name: the adapter's name.
        is_integrated: it is ``inference_backend``: live counters and token ids on every route.
        draft_tokens: drafts proposed per step in a chain, ``None`` if unknown or not a chain.
        is_speculating: it proposes drafts at all. Without, one token per chunk is normal, not a
            finding.
    """

    name: str
    version: str | None = None
    is_integrated: bool = False
    is_speculating: bool = False
    draft_tokens: int | None = None
    models: tuple[str, ...] = ()


@dataclass(slots=True)
class Piece:
    """One chunk of an attempt, read.

    Attributes:
        payload: the decoded JSON; the encoder may change it.
        raw: the event as it came, terminator included.
        choices: what each answer of several got, by its index; ``observation`` is then empty.
        text: new answer text (without reasoning).
        tokens: new tokens, estimated from the text where the engine does not count them.
        is_estimated: ``tokens`` is an estimate.
        has_output: the client would see something of it (text, reasoning, a tool call).
        is_continuable: ``False`` once it carries output that a continuation cannot restore.
        is_finish: the last choice got its finish reason.
        is_last: nothing follows it; the other routes end with ``[DONE]`` instead.
        is_cumulative: its payload says again what the attempt's earlier chunks said, ``None`` where
            that cannot be told yet (the first chunk).
        is_shed: what grows with the answer was taken out of the payload.
        prompt_tokens, completion_tokens: usage as told by this chunk, of this attempt.
    """

    payload: dict[str, Any]
    raw: bytes
    observation: Observation
    choices: tuple[tuple[int, Observation], ...] = ()
    text: str = ""
    tokens: int = 0
    token_ids: tuple[int, ...] | None = None
    prompt_token_ids: tuple[int, ...] | None = None
    has_output: bool = False
    is_continuable: bool = True
    is_finish: bool = False
    is_last: bool = False
    is_estimated: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    is_cumulative: bool | None = False
    is_shed: bool = False

    @property
    def is_plain(self) -> bool:
        """It says a text and nothing else: no count, no end, no acceptance."""
        seen = self.observation
        return (
            bool(self.text)
            and self.is_estimated
            and self.is_cumulative is False
            and seen == Observation(self.text)
            and not (self.is_finish or self.is_last or self.choices)
            and self.token_ids is self.prompt_token_ids is None
            and self.prompt_tokens is self.completion_tokens is None
        )

    def shed(self) -> None:
        """Drops what a later chunk says again.

        Else an answer that is held whole would take memory by the square of its length.
        """
        if not self.is_cumulative or self.is_shed:
            return
        self.is_shed = True
        self.raw = b""
        payload = {**self.payload, "text": ""}
        if "output_ids" in payload:
            payload["output_ids"] = []
        meta = payload["meta_info"]
        payload["meta_info"] = {
            name: value for name, value in meta.items() if not isinstance(value, list)
        }
        self.payload = payload


@dataclass(slots=True)
class Totals:
    """Sums over one attempt, ``None`` where the engine did not say."""

    tokens: int = 0
    steps: int | None = None
    drafted: int | None = None
    accepted: int | None = None
    prompt_tokens: int | None = None

    def add(self, piece: Piece) -> None:
        """Counts one chunk."""
        seen = piece.observation
        self.tokens += piece.tokens
        self.steps = _sum(self.steps, seen.steps)
        self.drafted = _sum(self.drafted, seen.drafted)
        self.accepted = _sum(self.accepted, seen.accepted)
        if piece.prompt_tokens is not None:
            self.prompt_tokens = piece.prompt_tokens


@dataclass(slots=True)
class FinalCounters:
    """The engine's own numbers for the whole attempt, where it tells them only at the end."""

    steps: int | None = None
    drafted: int | None = None
    accepted: int | None = None


class ChunkReader(Protocol):
    """Reads the chunks of one attempt."""

    @property
    def final(self) -> FinalCounters | None:
        """Exact numbers, once the engine told them; they replace sums of derived ones."""
        ...

    def read(self, payload: Any, raw: bytes) -> Piece:
        """Reads one decoded event.

        Raises:
            MalformedStream: not the agreed shape.
            EngineReportedError: the engine told an error in-band, or aborted the generation itself.
        """
        ...

    def read_plain(self, text: str) -> Observation | None:
        """Reads an event that is known to say this text and nothing else (see ``Piece.is_plain``).

        ``None`` where such an event has to be read in full.
        """
        ...


class EngineAdapter(Protocol):
    """One engine's dialect."""

    @property
    def profile(self) -> EngineProfile: ...

    def body(self, call: GenerationCall, plan: AttemptPlan) -> dict[str, Any]:
        """The upstream request body, streaming and with the live signals asked for."""
        ...

    def can_continue(self, call: GenerationCall, prefix: Prefix) -> bool:
        """Whether :meth:`body` can start from this prefix."""
        ...

    def reader(self, call: GenerationCall, prefix: Prefix | None = None) -> ChunkReader:
        """A reader for an attempt that starts after ``prefix``."""
        ...

    def abort(self, call: GenerationCall, rid: str) -> AbortCall | None:
        """How to stop it beyond closing the connection, ``None`` if closing is all there is."""
        ...


@dataclass(slots=True)
class Cumulative:
    """Turns a cumulative counter into what is new; a counter that falls counts as no news."""

    last: int = field(default=0)

    def new(self, value: int) -> int:
        """Returns the increase since the last value."""
        increase = max(0, value - self.last)
        self.last = max(self.last, value)
        return increase


def _sum(total: int | None, new: int | None) -> int | None:
    if new is None:
        return total
    return new if total is None else total + new
