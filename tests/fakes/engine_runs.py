"""Drives an engine to the end of its requests and collects what came out."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from inference_backend.engine.engine import Engine
from inference_backend.engine.request import (
    FinishReason,
    GenerationRequest,
    SamplingParams,
    StepOutput,
)
from inference_backend.model.transformer import Transformer
from inference_backend.speculative.unroll import target_hidden
from tests.fakes.tiny_model import EOS, VOCAB

MAX_STEPS = 3000


@dataclass(slots=True)
class Generation:
    """All outputs of one request."""

    outputs: list[StepOutput] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return [token for output in self.outputs for token in output.token_ids]

    @property
    def last(self) -> StepOutput:
        return self.outputs[-1]

    @property
    def reason(self) -> FinishReason | None:
        return self.last.finish_reason


def request(
    name: str, prompt: Iterable[int], new_tokens: int = 24, *, salt: str = "", **sampling: Any
) -> GenerationRequest:
    """A greedy request that ignores the end token, unless ``sampling`` says otherwise."""
    wanted: dict[str, Any] = {"temperature": 0.0, "ignore_eos": True} | sampling
    params = SamplingParams(max_new_tokens=new_tokens, **wanted)
    return GenerationRequest(name, tuple(prompt), params, salt)


def prompt(length: int, seed: int = 0) -> list[int]:
    """Random tokens."""
    source = random.Random(seed)
    return [source.randrange(VOCAB) for _ in range(length)]


def finish(engine: Engine, requests: Iterable[GenerationRequest] = ()) -> dict[str, Generation]:
    """Adds the requests and steps until nothing is left; checks the pages at the end."""
    found: dict[str, Generation] = {}
    for each in requests:
        engine.add(each)
    for _ in range(MAX_STEPS):
        if not engine.has_work:
            check_pages(engine)
            return found
        for output in engine.step():
            found.setdefault(output.request_id, Generation()).outputs.append(output)
    raise AssertionError(f"{engine.running_ids()} did not finish in {MAX_STEPS} steps")


def check_pages(engine: Engine) -> None:
    """Nothing is running: every page is free or cached, and none is lost."""
    cache = engine.scheduler.cache
    cache.check_integrity()
    assert cache.pool.num_available == cache.pool.num_pages
    assert not engine.scheduler.running
    assert not engine.scheduler.waiting


@torch.inference_mode()
def recomputed(
    model: Transformer, tokens: Iterable[int], new_tokens: int, *, ignore_eos: bool = True
) -> list[int]:
    """Greedy tokens, the whole sequence computed anew for each: no cache, no drafts, no batch."""
    sequence = list(tokens)
    start = len(sequence)
    for _ in range(new_tokens):
        hidden = target_hidden(model, torch.tensor([sequence]))[0, -1:]
        sequence.append(int(model.logits(hidden).argmax()))
        if sequence[-1] == EOS and not ignore_eos:
            break
    return sequence[start:]
