"""Compares greedy answers of the engine with transformers' generate, token by token.

Alone and in batches, with and without drafts, with pages preempted and with prefixes found again.
An answer may differ only from a place on where the two best logits are within 1e-4: there the
rounding of float32 decides. Such places are printed.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

from rich.progress import track

from benchmarks.driving import collect, greedy, make_requests
from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.prompts import PROMPTS, chat_prompts
from benchmarks.references import References, Tokens
from benchmarks.results import Report, publish

NEAR = 1e-4
GROUP = 16  # prompts of one task: as many as the largest batch


@dataclass(frozen=True, slots=True)
class Case:
    """One way of running all prompts.

    Attributes:
        few_pages: the cache holds about half of what the batch needs.
        asks_twice: the answers compared are those of the second time.
    """

    batch: int
    drafts: int
    few_pages: bool = False
    asks_twice: bool = False

    @property
    def name(self) -> str:
        parts = [f"batch {self.batch}", "drafts" if self.drafts else "no drafts"]
        parts += ["few pages"] * self.few_pages + ["prefixes known"] * self.asks_twice
        return ", ".join(parts)


CASES = (
    Case(1, 0),
    Case(1, 3),
    Case(1, 3, asks_twice=True),
    Case(16, 0),
    Case(16, 3),
    Case(16, 0, few_pages=True),
    Case(16, 3, few_pages=True),
    Case(16, 3, asks_twice=True),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an answer leaves the reference, and how close the two tokens were there."""

    prompt: int
    place: int
    expected: int
    found: int
    margin: float

    @property
    def is_near(self) -> bool:
        return self.margin <= NEAR


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case gave."""

    case: Case
    prompts: int
    differences: list[Difference]
    preemptions: int
    cached_tokens: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Nothing differs for another reason than rounding, and the case did what it is named."""
        did_it = (not self.case.few_pages or self.preemptions > 0) and (
            not self.case.asks_twice or self.cached_tokens > 0
        )
        return did_it and all(difference.is_near for difference in self.differences)


def run_case(
    subject: Subject, case: Case, prompts: Sequence[Tokens], references: References, tokens: int
) -> Outcome:
    began = time.monotonic()
    longest = max(len(prompt) for prompt in prompts) + tokens + 32
    answers_held = len(prompts) if case.asks_twice else min(case.batch, len(prompts))
    room = max(answers_held // 2, 1) * longest if case.few_pages else answers_held * longest
    engine = subject.engine(num_drafts=case.drafts, kv_tokens=room, max_running=case.batch)
    requests = make_requests(prompts, greedy(tokens))
    for _ in range(1 + case.asks_twice):
        answers = collect(engine, requests, case.batch)
    now = engine.snapshot(is_alive=True)
    differences = []
    for number, prompt in enumerate(prompts):
        found = compare(number, prompt, answers[str(number)], references)
        differences += [found] if found else []
    engine.scheduler.cache.check_integrity()
    return Outcome(
        case,
        len(prompts),
        differences,
        now.preemptions_total,
        now.cached_tokens_total,
        time.monotonic() - began,
    )


def compare(
    number: int, prompt: Tokens, answer: Tokens, references: References
) -> Difference | None:
    expected = references.answer(prompt)
    if list(answer) == expected:
        return None
    place = next(i for i, pair in enumerate(zip(answer, expected, strict=True)) if len({*pair}) > 1)
    margin = references.margin([*prompt, *expected[:place]], expected[place], answer[place])
    return Difference(number, place, expected[place], answer[place], margin)


def report(outcomes: Sequence[Outcome], tokens: int, device: str) -> Report:
    rows = []
    for outcome in outcomes:
        near = sum(difference.is_near for difference in outcome.differences)
        rows.append(
            [
                outcome.case.name,
                f"{outcome.prompts - len(outcome.differences)} of {outcome.prompts}",
                str(near),
                str(len(outcome.differences) - near),
                str(outcome.preemptions),
                str(outcome.cached_tokens),
                f"{outcome.seconds:.0f}",
            ]
        )
    found = {
        (difference.prompt, difference.place): difference
        for outcome in outcomes
        for difference in outcome.differences
    }
    notes = [
        f"prompt {each.prompt}, token {each.place}: {each.found} instead of {each.expected}, "
        f"their logits {each.margin:.1e} apart ({'near' if each.is_near else 'NOT NEAR'})"
        for each in found.values()
    ]
    return Report(
        name="parity",
        title=f"Greedy answers of {tokens} tokens against transformers' generate, float32",
        device=device,
        columns=["case", "equal", "near ties", "wrong", "preemptions", "cached tokens", "seconds"],
        rows=rows,
        notes=notes or ["No answer differs anywhere."],
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=256, help="length of every answer")
    parser.add_argument(
        "--processes", type=int, default=1, help="share the work; with more, say --threads 1"
    )
    add_model_options(parser, dtype="float32")
    return parser.parse_args()


class Part:
    """A share of the prompts in one process, with a model of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.subject = load_subject(options)
        self.tokens: int = options.tokens
        self.prompts = chat_prompts(self.subject.tokenizer, options.prompts)
        self.references = References(self.subject, options.tokens)

    def run(self, case: Case, first: int, last: int) -> Outcome:
        """``case`` over prompts ``[first, last)``, whose numbers the differences keep."""
        chosen = self.prompts[first:last]
        outcome = run_case(self.subject, case, chosen, self.references, self.tokens)
        moved = [replace(each, prompt=each.prompt + first) for each in outcome.differences]
        return replace(outcome, differences=moved)


def join(case: Case, parts: Sequence[Outcome]) -> Outcome:
    """The parts of one case as one. It took as long as they took together."""
    return Outcome(
        case,
        sum(part.prompts for part in parts),
        [difference for part in parts for difference in part.differences],
        sum(part.preemptions for part in parts),
        sum(part.cached_tokens for part in parts),
        sum(part.seconds for part in parts),
    )


_part: Part | None = None  # of this process; made once, used for every task it gets


def _start(options: argparse.Namespace) -> None:
    global _part  # noqa: PLW0603 (the only way to keep a model between the tasks of a worker)
    _part = Part(options)


def _refer(number: int) -> None:
    assert _part is not None
    _part.references.answer(_part.prompts[number])


def _run(case: Case, first: int, last: int) -> Outcome:
    assert _part is not None
    return _part.run(case, first, last)


def run_all(options: argparse.Namespace) -> list[Outcome]:
    """Spreads prompts, ``GROUP`` at a time, over processes; the longest cases first."""
    context = multiprocessing.get_context("spawn")
    starts = range(0, options.prompts, GROUP)
    ordered = sorted(CASES, key=lambda case: (case.batch, -case.asks_twice, case.drafts))
    with ProcessPoolExecutor(options.processes, context, _start, (options,)) as pool:
        numbers = range(options.prompts)
        for _ in track(pool.map(_refer, numbers), "answers of transformers", options.prompts):
            pass
        running = {
            (case, start): pool.submit(_run, case, start, min(start + GROUP, options.prompts))
            for case in ordered
            for start in starts
        }
        for _ in track(as_completed(running.values()), "answers of the engine", len(running)):
            pass
        return [join(case, [running[case, start].result() for start in starts]) for case in CASES]


def main() -> int:
    options = parse()
    outcomes = run_all(options)
    publish(report(outcomes, options.tokens, options.device), write=options.write)
    return 0 if all(outcome.is_right for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
