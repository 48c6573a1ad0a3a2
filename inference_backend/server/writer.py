"""How an answer is put into bytes: one writer a generation, one event a step. Waits for nothing."""

from collections.abc import Sequence
from typing import Protocol

from inference_backend.server.textflow import TextStep

DONE = b"data: [DONE]\n\n"


class Writer(Protocol):
    """Writes one answer, either as events or whole."""

    def opening(self) -> bytes:
        """Events before the first step."""
        ...

    def step(self, step: TextStep) -> bytes:
        """The event of one step. Called for every step, in order."""
        ...

    def closing(self, last: TextStep) -> bytes:
        """Events between the last step and ``[DONE]``."""
        ...

    def whole(self, text: str, token_ids: Sequence[int], last: TextStep) -> bytes:
        """The answer of a request that does not stream. ``last`` holds the final numbers."""
        ...
