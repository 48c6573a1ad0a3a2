"""Trains a draft head on text that its target writes.

``python -m inference_backend.speculative.train --help``
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_backend.model.progress import ProgressBar
from inference_backend.model.source import load_model_files
from inference_backend.model.transformer import Transformer, build_transformer
from inference_backend.model.weights import load_tokenizer, load_weights
from inference_backend.speculative.corpus import (
    Corpus,
    StaticDecoder,
    batches,
    write_answers,
    write_prompts,
)
from inference_backend.speculative.evaluate import acceptance, walk
from inference_backend.speculative.head import DraftHead, HeadShape
from inference_backend.speculative.head_file import SHIPPED, save_head
from inference_backend.speculative.openings import random_openings
from inference_backend.speculative.unroll import DraftLoss, target_hidden, unrolled

TEMPERATURES = (0.0, 0.0, 0.6, 0.8, 0.8, 0.8, 1.0, 1.0)
"""Cycled over the rows of a round: text sampled at 1 alone makes a worse head than a mixture."""

FREQUENT_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What one run does. Times in seconds."""

    corpus_seconds: float
    training_seconds: float
    rows: int
    length: int
    batch_rows: int
    drafts: int
    intermediate_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True)
class Source:
    """The target and the pieces of its chat template."""

    model: Transformer
    tokenizer: Any
    end_token: int
    before_user: list[int]
    after_user: list[int]


def make_source(model: Transformer, tokenizer: Any) -> Source:
    """Cuts the chat template into what stands before and after the user's words."""
    mark = "\u241e"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": mark}], tokenize=False, add_generation_prompt=True
    )
    before, after = text.split(mark)
    end_token = model.shape.eos_token_ids[0]
    after_ids = tokenizer.encode(after, add_special_tokens=False)
    # A prompt row already ends with the end token.
    after_ids = after_ids[1:] if after_ids[0] == end_token else after_ids
    return Source(
        model, tokenizer, end_token, tokenizer.encode(before, add_special_tokens=False), after_ids
    )


def write_corpus(
    source: Source, plan: TrainingPlan, seconds: float, seed: int
) -> tuple[Corpus, list[int]]:
    """Rounds of prompts and answers until the time is over (one round at least).

    Also where each answer starts.
    """
    device = source.model.norm.device
    prompter = StaticDecoder(source.model, plan.rows, 128)
    answerer = StaticDecoder(source.model, plan.rows, plan.length)
    cycle = torch.tensor(TEMPERATURES, device=device)
    temperatures = cycle.repeat(-(-plan.rows // len(cycle)))[: plan.rows]
    parts: list[Corpus] = []
    starts: list[int] = []
    began = time.monotonic()
    while not parts or time.monotonic() - began < seconds:
        opened = random_openings(plan.rows, seed + len(parts))
        openings = [
            source.before_user + source.tokenizer.encode(words, add_special_tokens=False)
            for words in opened
        ]
        prompts = write_prompts(prompter, openings, source.end_token, temperature=0.9)
        prompts = [prompt + source.after_user for prompt in prompts]
        part = write_answers(answerer, prompts, temperatures, source.end_token)
        parts.append(Corpus(part.tokens.to(torch.int32), part.lengths, part.temperatures))
        starts += [len(prompt) for prompt in prompts]
        done = time.monotonic() - began
        kept = sum(int(part.lengths.sum()) for part in parts)
        print(f"corpus: {kept / 1e6:.1f} M tokens in {done:.0f} s of {seconds:.0f} s", flush=True)
    joined = [torch.cat([getattr(part, name) for part in parts]) for name in Corpus.__slots__]
    return Corpus(*joined), starts


def train(source: Source, corpus: Corpus, plan: TrainingPlan) -> DraftHead:
    """Fits a head for the planned time; the rate falls along a cosine."""
    model, device = source.model, source.model.norm.device
    torch.manual_seed(plan.seed)
    head = DraftHead(model.shape, HeadShape(model.shape.hidden_size, plan.intermediate_size))
    head = head.to(device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.01)
    stream = batches(corpus, plan.batch_rows, torch.Generator().manual_seed(plan.seed))
    began, step = time.monotonic(), 0
    while (progress := (time.monotonic() - began) / plan.training_seconds) < 1:
        tokens, lengths = next(stream)
        warm = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = (
                plan.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
        loss = _loss(model, head, tokens, lengths, plan.drafts, rejection=min(0.8, progress))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0 or step == 1:
            seen = step * plan.batch_rows * plan.length / 1e6
            print(
                f"step {step}: loss {loss.item():.3f}, {seen:.1f} M positions, {progress:.0%}",
                flush=True,
            )
    return head


def _loss(
    model: Transformer,
    head: DraftHead,
    tokens: Tensor,
    lengths: Tensor,
    drafts: int,
    rejection: float,
) -> Tensor:
    with torch.no_grad():
        hidden = target_hidden(model, tokens)
    is_cuda = tokens.device.type == "cuda"
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=is_cuda):
        outputs = torch.stack(unrolled(model, head, tokens, hidden, drafts)).flatten(1, 2)
    index = torch.arange(tokens.shape[1], device=tokens.device)
    is_text = index[None, :] < lengths[:, None] - 1
    weights = torch.stack(
        [(is_text & (index >= k)).float() * 0.8 ** (k - 1) for k in range(1, drafts + 1)]
    )
    weights = weights.flatten(1)
    total: Tensor = DraftLoss.apply(  # type: ignore[no-untyped-call]
        outputs.to(hidden.dtype),
        hidden.flatten(0, 1),
        weights,
        model.unembedding.weight,
        rejection,
        4096,
    )
    return total / weights.sum()


def report(
    source: Source, head: DraftHead, plan: TrainingPlan, held: Corpus, starts: list[int]
) -> None:
    """Prints accept lengths on held-out text, by the temperature that it was written at."""
    head = head.to(source.model.norm.dtype)
    for temperature in sorted(set(TEMPERATURES)):
        rows = [i for i, t in enumerate(held.temperatures.tolist()) if abs(t - temperature) < 1e-3][
            :96
        ]
        tokens = held.tokens[rows].long()
        lengths = held.lengths[rows].tolist()
        for drafts in range(3, plan.drafts + 1):
            rates = acceptance(source.model, head, tokens, drafts, temperature)
            each, depth = walk(rates, [starts[i] for i in rows], lengths)
            print(
                f"held out, temperature {temperature}, {drafts} drafts: "
                f"accept length {sum(each) / len(each):.2f} "
                f"(median {sorted(each)[len(each) // 2]:.2f}), "
                f"accepted by depth {depth.round(2).tolist()}",
                flush=True,
            )


def frequent_tokens(corpus: Corpus, vocab_size: int, count: int) -> Tensor:
    """Token ids by how often the target wrote them, most frequent first."""
    index = torch.arange(corpus.tokens.shape[1], device=corpus.tokens.device)
    text = corpus.tokens[index[None, :] < corpus.lengths[:, None]].long()
    return torch.bincount(text, minlength=vocab_size).argsort(descending=True)[:count]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m inference_backend.speculative.train", description=__doc__
    )
    parser.add_argument(
        "--model", default=None, help="folder or name of the target (default: SmolLM2-135M)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--output", type=Path, default=None, help="file to write (default: the shipped one)"
    )
    parser.add_argument("--corpus-seconds", type=float, default=120)
    parser.add_argument("--training-seconds", type=float, default=420)
    parser.add_argument("--rows", type=int, default=1024, help="sequences written at once")
    parser.add_argument("--length", type=int, default=512, help="tokens of a training sequence")
    parser.add_argument("--batch-rows", type=int, default=48, help="sequences of a training batch")
    parser.add_argument("--drafts", type=int, default=4, help="steps the head is unrolled for")
    parser.add_argument("--intermediate-size", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    fields = TrainingPlan.__dataclass_fields__
    plan = TrainingPlan(**{name: getattr(options, name) for name in fields})
    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with ProgressBar() as progress:
        folder = load_model_files(options.model, progress)
    loaded = load_weights(folder)
    model = build_transformer(loaded.config, loaded.tensors, device, dtype)
    source = make_source(model, load_tokenizer(folder))
    output = options.output or SHIPPED / f"{model.shape.name}.safetensors"
    output.parent.mkdir(parents=True, exist_ok=True)
    held, starts = write_corpus(source, plan, 0, seed=1_000_000)
    corpus, _ = write_corpus(source, plan, plan.corpus_seconds, seed=plan.seed)
    head = train(source, corpus, plan)
    save_head(
        output, head, model.shape, frequent_tokens(corpus, model.shape.vocab_size, FREQUENT_TOKENS)
    )
    report(source, head, plan, held, starts)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
