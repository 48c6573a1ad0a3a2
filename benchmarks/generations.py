"""Generations of the integrated engine, healthy and with damaged cache, with the truth beside them.

One JSON line each: token ids, the tokens of every event, accepted and proposed drafts of every
step, and what was done to the cache and when. ``benchmarks.detection`` and ``specwatch train`` read
them. Prompts never stand in two splits.
"""

import argparse
import gzip
import itertools
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.driving import drive
from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.prompts import PROMPTS
from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.engine.request import (
    GenerationRequest,
    SamplingParams,
    SpecCounters,
    StepOutput,
)
from inference_backend.server.detokenize import Detokenizer
from inference_backend.speculative.openings import random_openings

Decode = Callable[[Sequence[int]], str]

TEMPERATURES = (0.0, 0.7, 1.0)
ONSETS = (2, 32, 128, 384, 768)
TOKENS_AFTER_ONSET = 320
SPLITS = ("train", "train", "train", "train", "calibrate", "calibrate", "test", "test", "test")


@dataclass(slots=True)
class Recorder:
    """What one generation gave, event by event."""

    about: dict[str, Any]
    token_ids: list[int] = field(default_factory=list)
    tokens_per_event: list[int] = field(default_factory=list)
    accepted_per_step: list[int] = field(default_factory=list)
    drafted_per_step: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    _before: SpecCounters = field(default_factory=SpecCounters)

    def update(self, output: StepOutput) -> bool:
        now, before = output.counters, self._before
        self._before = now
        self.finish_reason = output.finish_reason
        if output.token_ids:
            self.token_ids += output.token_ids
            self.tokens_per_event.append(len(output.token_ids))
        if now.verify_steps > before.verify_steps:
            self.accepted_per_step.append(now.correct_drafts - before.correct_drafts)
            self.drafted_per_step.append(now.proposed_drafts - before.proposed_drafts)
        return False

    def line(self, onset: int | None, decode: Decode) -> str:
        pieces = texts_of_events(self.token_ids, self.tokens_per_event, decode)
        values = {
            **self.about,
            "onset_token": onset,
            "finish_reason": self.finish_reason,
            "text": "".join(pieces),
            "chars_per_event": list(map(len, pieces)),
            "token_ids": self.token_ids,
            "tokens_per_event": self.tokens_per_event,
            "accepted_per_step": self.accepted_per_step,
            "drafted_per_step": self.drafted_per_step,
        }
        return json.dumps(values, separators=(",", ":"))


def texts_of_events(
    token_ids: Sequence[int], tokens_per_event: Sequence[int], decode: Decode
) -> list[str]:
    """What a client would have got of each event."""
    detokenizer = Detokenizer(decode, ())
    pieces, start = [], 0
    for count in tokens_per_event:
        pieces.append(detokenizer.push(token_ids[start : start + count]))
        start += count
    if pieces:
        pieces[-1] += detokenizer.flush()
    return pieces


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over some prompts at all temperatures, under one plan of damage."""

    fault: FaultKind | None
    onset: int
    prompts: tuple[int, ...]
    seed: int


def all_prompts(count: int) -> list[str]:
    """Distinct user turns: the benchmark's own, then random openings."""
    openings = dict.fromkeys(text for text in random_openings(40 * count, seed=11) if text)
    return [*PROMPTS, *openings][:count]


def split_of(prompt: str) -> str:
    """Which split a prompt belongs to; the same in every run."""
    return SPLITS[zlib.crc32(prompt.encode()) % len(SPLITS)]


def rounds(prompts: int, damaged_prompts: int, seed: int) -> Iterator[Round]:
    """Healthy and damaged in turn, so that a run cut short is still balanced."""
    order = random.Random(seed)
    kinds = list(itertools.product(FaultKind, ONSETS)) if damaged_prompts else []
    for number in itertools.count(seed - 1):
        chosen = order.sample(range(prompts), prompts)
        yield Round(None, 0, tuple(chosen), number)
        for kind, onset in kinds:
            # Answers that end before the onset are healthy ones: late onsets need more prompts.
            count = damaged_prompts if onset <= 128 else 2 * damaged_prompts
            yield Round(kind, onset, tuple(order.sample(range(prompts), count)), number)


def encode(subject: Subject, prompts: Sequence[str]) -> list[tuple[int, ...]]:
    found = []
    for prompt in prompts:
        turn = [{"role": "user", "content": prompt}]
        text = subject.tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, tokenize=False
        )
        found.append(tuple(subject.tokenizer.encode(str(text), add_special_tokens=False)))
    return found


def run_round(
    engine: Engine,
    which: Round,
    prompts: Sequence[str],
    ids: Sequence[tuple[int, ...]],
    args: argparse.Namespace,
) -> dict[str, tuple[Recorder, int | None]]:
    """What each generation of one round gave, and where it was damaged."""
    plan = None
    limit = args.tokens
    if which.fault is not None:
        plan = FaultPlan(kind=which.fault, rate=1.0, after_tokens=which.onset, seed=which.seed)
        limit = which.onset + TOKENS_AFTER_ONSET
    engine.set_faults(plan)
    recorders: dict[str, Recorder] = {}
    requests = []
    for temperature, number in itertools.product(TEMPERATURES, which.prompts):
        fault = which.fault.value if which.fault else "none"
        name = f"{fault}-{which.onset}-{which.seed}-{temperature:g}-{number}"
        if temperature == 0 and which.fault is None and which.seed > 0:
            continue  # the most likely answer is the same every time
        recorders[name] = Recorder(
            {
                "id": name,
                "prompt_id": number,
                "split": split_of(prompts[number]),
                "model": args.name,
                "num_drafts": args.drafts,
                "temperature": temperature,
                "fault": fault,
            }
        )
        sampling = SamplingParams(
            max_new_tokens=limit,
            temperature=temperature,
            seed=zlib.crc32(name.encode()),
        )
        requests.append(GenerationRequest(name, ids[number], sampling))
    drive(engine, requests, args.at_once, lambda out: recorders[out.request_id].update(out))
    onsets = {record.request_id: record.damaged_from_token for record in engine.fault_records()}
    return {name: (recorder, onsets.get(name)) for name, recorder in recorders.items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generations", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--seconds", type=float, default=300.0, help="no new round after this long")
    parser.add_argument("--prompts", type=int, default=640)
    parser.add_argument(
        "--damaged-prompts", type=int, default=48, help="of a round with damage; 0: healthy only"
    )
    parser.add_argument("--tokens", type=int, default=1024, help="longest healthy answer")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--drafts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="another one gives other answers")
    add_model_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse()
    subject = load_subject(args)
    args.name = subject.weights.config.name
    prompts = all_prompts(args.prompts)
    ids = encode(subject, prompts)

    def decode(ids: Sequence[int]) -> str:
        return str(subject.tokenizer.decode(list(ids), skip_special_tokens=True))

    engine = subject.engine(num_drafts=args.drafts, max_running=args.at_once)
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + args.seconds
    tokens = 0
    with Progress() as progress:
        task = progress.add_task("", total=args.seconds)
        for which in rounds(len(prompts), args.damaged_prompts, args.seed):
            started = time.monotonic()
            if started > end:
                break
            found = run_round(engine, which, prompts, ids, args)
            with gzip.open(args.out / f"{which.fault or 'none'}.jsonl.gz", "at") as file:
                file.writelines(each.line(onset, decode) + "\n" for each, onset in found.values())
            tokens += sum(len(each.token_ids) for each, _ in found.values())
            words = f"{tokens:,} tokens, now {which.fault or 'healthy'}"
            progress.update(task, advance=time.monotonic() - started, description=words)
    print(f"{tokens:,} tokens in {args.out}")


if __name__ == "__main__":
    main()
