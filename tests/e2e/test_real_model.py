"""The shipped draft head on the real model. Fetches SmolLM2-135M once, as the demo does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from inference_backend.engine.build import build_engine
from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.engine.options import EngineOptions
from inference_backend.engine.request import GenerationRequest, SamplingParams, StepOutput
from inference_backend.model.progress import ProgressBar
from inference_backend.model.source import ModelFolder, load_model_files
from inference_backend.model.weights import LoadedWeights, load_tokenizer, load_weights

QUESTIONS = (
    "Write a Python function that checks whether a number is prime.",
    "Explain to a child how the water cycle works.",
    "Write a short story about a lighthouse keeper.",
)


@dataclass(frozen=True)
class RealModel:
    """The model's files, and the questions as token ids."""

    folder: ModelFolder
    weights: LoadedWeights
    prompts: Sequence[tuple[int, ...]]

    def engine(self) -> Engine:
        return build_engine(self.weights, EngineOptions(device="cpu", kv_tokens=4096))


@pytest.fixture(scope="module")
def real() -> RealModel:
    with ProgressBar() as progress:
        folder = load_model_files(None, progress)
    tokenizer = load_tokenizer(folder)
    prompts = [
        tuple(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}],
                add_generation_prompt=True,
                return_dict=False,
            )
        )
        for question in QUESTIONS
    ]
    return RealModel(folder, load_weights(folder), prompts)


def answers(
    engine: Engine, prompts: Sequence[tuple[int, ...]], sampling: SamplingParams
) -> list[tuple[list[int], StepOutput]]:
    """All tokens and the last output of each prompt, run together."""
    tokens: dict[str, list[int]] = {}
    last: dict[str, StepOutput] = {}
    for number, prompt in enumerate(prompts):
        engine.add(GenerationRequest(str(number), prompt, sampling))
    while engine.has_work:
        for output in engine.step():
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
            last[output.request_id] = output
    return [(tokens[str(number)], last[str(number)]) for number in range(len(prompts))]


def accept_length(output: StepOutput) -> float:
    """Tokens a verification step; the first token comes from the prompt's pass."""
    return (output.completion_tokens - 1) / output.counters.verify_steps


def test_greedy_answers_are_those_of_transformers(real: RealModel) -> None:
    reference: Any = AutoModelForCausalLM.from_pretrained(
        real.folder.path, dtype=torch.float32, local_files_only=True
    )
    sampling = SamplingParams(max_new_tokens=32, temperature=0.0, ignore_eos=True)
    found = [tokens for tokens, _ in answers(real.engine(), real.prompts, sampling)]
    for prompt, answer in zip(real.prompts, found, strict=True):
        ids = torch.tensor([prompt])
        expected = reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=32,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert answer == expected[0, len(prompt) :].tolist()


def test_drafts_of_healthy_answers_are_accepted_and_those_of_damaged_ones_are_not(
    real: RealModel,
) -> None:
    """The finding that the project stands on, with the published threshold between the two."""
    sampling = SamplingParams(max_new_tokens=80, temperature=0.7, seed=1, ignore_eos=True)
    healthy = [accept_length(last) for _, last in answers(real.engine(), real.prompts, sampling)]
    engine = real.engine()
    engine.set_faults(FaultPlan(kind=FaultKind.NOISE, rate=1.0, after_tokens=4, seed=1))
    damaged = [accept_length(last) for _, last in answers(engine, real.prompts, sampling)]
    assert min(healthy) > 1.5
    assert max(damaged) < 1.4
    engine.scheduler.cache.check_integrity()
