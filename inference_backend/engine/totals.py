"""Counts since the engine's start, for its metrics."""

from dataclasses import dataclass

from inference_backend.engine.sequence import Sequence


@dataclass(slots=True)
class Totals:
    """Plain integers: counted in the loop, read when somebody asks."""

    finished: int = 0
    aborted: int = 0
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    verify_steps: int = 0
    proposed: int = 0
    correct: int = 0

    def count_step(self, proposed: int, correct: int) -> None:
        self.verify_steps += 1
        self.proposed += proposed
        self.correct += correct

    def count_finished(self, sequence: Sequence) -> None:
        self.finished += 1
        self.prompt += sequence.prompt_tokens
        self.cached += sequence.cached_tokens
