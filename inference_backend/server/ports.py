"""What the server needs of the engine and of the tokenizer. ``EngineService`` satisfies it."""

import enum
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inference_backend.engine.faults import FaultPlan, FaultRecord
from inference_backend.engine.request import GenerationRequest, StepOutput
from inference_backend.engine.snapshot import EngineSnapshot
from inference_backend.kv.sanitizer import SanitizerRecord


class Role(enum.StrEnum):
    """What a replica does with a request."""

    UNIFIED = "unified"  # all of it
    PREFILL = "prefill"  # computes the prompt into a decode engine's pages
    DECODE = "decode"


class Generator(Protocol):
    """The running engine, seen from the server."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[StepOutput, None]:
        """Streams one generation; closing the generator aborts it within one step.

        Raises (at the first iteration, ``EngineStopped`` later as well):
            InvalidRequest, EngineBusy, EngineStopped
        """
        ...

    def abort(self, rid_prefix: str) -> int: ...

    def abort_all(self) -> int: ...

    def snapshot(self) -> EngineSnapshot: ...

    def set_faults(self, plan: FaultPlan | None) -> None: ...

    def faults(self) -> FaultPlan | None: ...

    def fault_records(self) -> list[FaultRecord]: ...

    def sanitizer_records(self) -> list[SanitizerRecord]: ...


class Tokenizer(Protocol):
    """Text to token ids and back. ``server.tokenizer.HubTokenizer`` wraps one of transformers."""

    @property
    def longest_token_chars(self) -> int:
        """No token stands for more characters than this: bounds the tokens of a text from below."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text without special tokens; bytes that are no UTF-8 become U+FFFD."""
        ...

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        template_options: Mapping[str, Any],
    ) -> str:
        """Renders the model's chat template.

        Raises:
            InvalidRequest: the model has none, or the template refuses the messages.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the HTTP API says about the model, and the limits that prompts are checked against."""

    name: str
    max_context: int
    vocab_size: int
    created: int  # unix time, seconds
    role: Role = Role.UNIFIED
