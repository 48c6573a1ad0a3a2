"""Tokens per second of the engine and of transformers' generate, in one run, taking turns.

Every contender answers the same prompts in every round; the medians over the rounds are shown. All
answers are greedy and have their full length. No prefix is found again: each round has a cache salt
of its own.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.progress import Progress

from benchmarks.driving import collect, greedy, make_requests
from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.prompts import chat_prompts
from benchmarks.results import Report, publish
from inference_backend.engine.engine import Engine

Prompts = Sequence[tuple[int, ...]]
PLAIN = "transformers, one after the other"
WARM_UP_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that answers prompts.

    Attributes:
        answer: prompts, tokens of each answer, name of the round -> tokens that came out.
        is_serial: answers one prompt at a time, so that more of them only take longer.
        remark: what to say about it in the end.
    """

    name: str
    answer: Callable[[Prompts, int, str], int]
    is_serial: bool = False
    remark: Callable[[], str] | None = None


@dataclass(slots=True)
class Measured:
    """Tokens per second of every round, by contender and number of requests at a time."""

    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def add(self, name: str, at_once: int, rate: float) -> None:
        self.rates.setdefault((name, at_once), []).append(rate)

    def median(self, name: str, at_once: int) -> float | None:
        rates = self.rates.get((name, at_once))
        return statistics.median(rates) if rates else None


def engine_contender(name: str, engine: Engine) -> Contender:
    def answer(prompts: Prompts, tokens: int, salt: str) -> int:
        found = collect(engine, make_requests(prompts, greedy(tokens), salt=salt), len(prompts))
        return sum(len(answer) for answer in found.values())

    return Contender(name, answer, remark=lambda: accept_length(name, engine))


def accept_length(name: str, engine: Engine) -> str:
    now = engine.snapshot(is_alive=True)
    if now.verify_steps_total == 0:
        return f"{name}: one token a step."
    length = 1 + now.correct_drafts_total / now.verify_steps_total
    return f"{name}: {length:.2f} tokens a verification step over the whole run, warm-up included."


def serial_contender(name: str, model: Any, device: str, **options: Any) -> Contender:
    def answer(prompts: Prompts, tokens: int, _salt: str) -> int:
        count = 0
        for prompt in prompts:
            ids = torch.tensor([prompt], device=device)
            out = generate(model, ids, torch.ones_like(ids), tokens, **options)
            count += out.shape[1] - ids.shape[1]
        return count

    return Contender(name, answer, is_serial=True)


def padded_contender(name: str, model: Any, device: str) -> Contender:
    """One batch, padded on the left."""

    def answer(prompts: Prompts, tokens: int, _salt: str) -> int:
        longest = max(len(prompt) for prompt in prompts)
        padded = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        out = generate(
            model,
            torch.tensor(padded, device=device),
            torch.tensor(mask, device=device),
            tokens,
        )
        return int(out.shape[0] * (out.shape[1] - longest))

    return Contender(name, answer)


def generate(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, tokens: int, **options: Any
) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens, **options
        )
    return out


def contenders(subject: Subject, drafts: int, most: int) -> list[Contender]:
    model = subject.reference()
    with_drafts = subject.engine(num_drafts=drafts, max_running=most)
    without = subject.engine(num_drafts=0, max_running=most)
    device = subject.device
    return [
        engine_contender("engine, drafts", with_drafts),
        engine_contender("engine, no drafts", without),
        serial_contender(PLAIN, model, device),
        serial_contender(
            "transformers with prompt lookup, one after the other",
            model,
            device,
            prompt_lookup_num_tokens=drafts,
        ),
        padded_contender("transformers, one padded batch", model, device),
    ]


def measure(
    subject: Subject, everyone: Sequence[Contender], options: argparse.Namespace
) -> Measured:
    """Rounds outermost, so that whatever slows the machine down for a while hits all alike."""
    measured = Measured()
    most = max(options.at_once)
    with Progress() as progress:
        total = (options.rounds + 1) * len(options.at_once) * len(everyone)
        task = progress.add_task("warm-up", total=total)
        for number in range(options.rounds + 1):
            is_warm_up = number == 0
            tokens = min(WARM_UP_TOKENS, options.tokens) if is_warm_up else options.tokens
            prompts = chat_prompts(subject.tokenizer, most, start=number * most, share_system=False)
            for at_once in options.at_once:
                for contender in everyone:
                    name = f"round {number}: {contender.name}, {at_once}"
                    progress.update(task, description="warm-up" if is_warm_up else name)
                    chosen = prompts[:at_once]
                    if contender.is_serial:
                        chosen = prompts[: min(at_once, options.serial_prompts)]
                    began = time.perf_counter()
                    count = contender.answer(chosen, tokens, f"{number}/{at_once}")
                    seconds = time.perf_counter() - began
                    if not is_warm_up:
                        measured.add(contender.name, at_once, count / seconds)
                    progress.advance(task)
    return measured


def report(
    measured: Measured, everyone: Sequence[Contender], options: argparse.Namespace, subject: Subject
) -> Report:
    rows = []
    for contender in everyone:
        row = [contender.name]
        for at_once in options.at_once:
            own, plain = measured.median(contender.name, at_once), measured.median(PLAIN, at_once)
            row.append("" if own is None or plain is None else f"{own:.1f} ({own / plain:.2f}x)")
        rows.append(row)
    return Report(
        name=f"engine-speed-{subject.dtype}",
        title=f"Tokens per second, {subject.weights.config.name}, {subject.dtype}",
        device=options.device,
        columns=["", *(f"{at_once} at once" for at_once in options.at_once)],
        rows=rows,
        notes=[
            f"Medians of {options.rounds} rounds, {options.tokens} tokens an answer, the prompt's "
            f"reading included; in brackets against '{PLAIN}' at the same number.",
            f"One after the other is measured on the first {options.serial_prompts} prompts of a "
            "round: its rate does not depend on how many wait.",
            f"{options.drafts} drafts a step; prompt lookup proposes as many. It takes no batches.",
            *(contender.remark() for contender in everyone if contender.remark is not None),
        ],
        raw={f"{name}, {at_once}": rates for (name, at_once), rates in measured.rates.items()},
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine_speed", description=__doc__)
    parser.add_argument(
        "--at-once", type=int, nargs="+", default=[1, 4, 16], help="concurrent requests"
    )
    parser.add_argument("--tokens", type=int, default=128, help="length of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drafts", type=int, default=3)
    parser.add_argument(
        "--serial-prompts",
        type=int,
        default=2,
        help="prompts of a round that 'one after the other' is measured on",
    )
    add_model_options(parser)
    return parser.parse_args()


def main() -> None:
    options = parse()
    subject = load_subject(options)
    everyone = contenders(subject, options.drafts, max(options.at_once))
    measured = measure(subject, everyone, options)
    publish(report(measured, everyone, options, subject), write=options.write)


if __name__ == "__main__":
    main()
