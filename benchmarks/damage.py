"""How well the published rule on acceptance finds generations whose KV cache was damaged.

Every fault kind at every temperature, all generations damaged; and as many healthy ones, which
must not be stopped. The engine is run directly and each of its outputs becomes one observation, as
in the proxy. The truth is the engine's own record of the damage.
"""

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rich.progress import Progress

from benchmarks.driving import drive, make_requests
from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.prompts import PROMPTS, chat_prompts
from benchmarks.results import Report, publish
from detectors.acceptance.published import AcceptanceThresholds
from detectors.observation import Observation
from detectors.panel import Panel
from detectors.panels import published_panel
from detectors.verdict import Verdict
from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.engine.request import SamplingParams, SpecCounters, StepOutput

HEALTHY = "none"


class Watcher:
    """One generation before the rule, and what a proxy would have let through meanwhile.

    Adaptive release, roughly: what is out goes to the client as long as the statistic is not past
    its watch level, and is held back from then on.
    """

    def __init__(self, thresholds: AcceptanceThresholds) -> None:
        self._panel: Panel = published_panel(thresholds)
        self._before = SpecCounters()
        self.verdict: Verdict | None = None
        self.tokens = 0
        self.released = 0

    def update(self, output: StepOutput) -> bool:
        """Whether the generation is to be stopped."""
        now, before = output.counters, self._before
        observation = Observation(
            new_tokens=len(output.token_ids),
            token_ids=output.token_ids,
            steps=now.verify_steps - before.verify_steps,
            drafted=now.proposed_drafts - before.proposed_drafts,
            accepted=now.correct_drafts - before.correct_drafts,
        )
        self._before = now
        self.tokens = output.completion_tokens
        self.verdict = self._panel.update(observation)
        is_over = output.finish_reason is not None
        if self.verdict is None and (is_over or not self._panel.is_watching):
            self.released = self.tokens
        return self.verdict is not None


@dataclass(frozen=True, slots=True)
class Case:
    """One generation in the end.

    Attributes:
        onset: tokens that were out when the cache was damaged, ``None`` for a healthy one.
        alarm: tokens that were out at the verdict, ``None`` without one.
    """

    fault: str
    temperature: float
    tokens: int
    onset: int | None
    alarm: int | None
    finding: str | None
    leaked: int


@dataclass(slots=True)
class Cases:
    """All generations of one fault and temperature."""

    fault: str
    temperature: float
    all: list[Case] = field(default_factory=list)

    @property
    def damaged(self) -> list[Case]:
        return [case for case in self.all if case.onset is not None]

    def row(self, after_tokens: int) -> list[str]:
        damaged = self.damaged
        caught = [case for case in damaged if case.alarm is not None]
        long = [case for case in damaged if case.alarm is not None or case.tokens > after_tokens]
        delays = [case.alarm - case.onset for case in caught if case.alarm and case.onset]
        healthy = [case for case in self.all if case.onset is None]
        stopped = sum(case.alarm is not None for case in healthy)
        return [
            self.fault,
            f"{self.temperature:g}",
            str(len(damaged)),
            share(len(caught), len(damaged)),
            share(len(caught), len(long)),
            middle(delays),
            middle([case.leaked for case in caught]),
            middle([case.leaked for case in damaged]),
            share(stopped, len(healthy)),
        ]


COLUMNS = (
    "fault",
    "temperature",
    "damaged",
    "caught",
    "caught of the long ones",
    "tokens to detection",
    "leaked, caught ones",
    "leaked, all damaged",
    "healthy stopped",
)


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else ""


def middle(values: Sequence[int]) -> str:
    """Median and the value that nine in ten stay below."""
    if not values:
        return ""
    ordered = sorted(values)
    return f"{statistics.median(ordered):g} (90 %: {ordered[math.ceil(0.9 * len(ordered)) - 1]})"


def run(
    engine: Engine,
    prompts: Sequence[tuple[int, ...]],
    fault: str,
    temperature: float,
    options: argparse.Namespace,
) -> Cases:
    plan = None
    if fault != HEALTHY:
        plan = FaultPlan(
            kind=FaultKind(fault),
            rate=1.0,
            after_tokens=options.after_tokens,
            seed=options.seed,
        )
    engine.set_faults(plan)
    sampling = SamplingParams(
        max_new_tokens=options.tokens,
        temperature=temperature,
        seed=options.seed,
        ignore_eos=options.ignore_eos,
    )
    requests = make_requests(prompts, sampling, prefix=f"{fault}/{temperature:g}/")
    watchers = {each.request_id: Watcher(AcceptanceThresholds()) for each in requests}
    drive(engine, requests, options.at_once, lambda out: watchers[out.request_id].update(out))
    onsets = {
        record.request_id: record.damaged_from_token
        for record in engine.fault_records()
        if record.request_id in watchers
    }
    cases = [outcome(fault, temperature, w, onsets.get(name)) for name, w in watchers.items()]
    return Cases(fault, temperature, cases)


def outcome(fault: str, temperature: float, watcher: Watcher, onset: int | None) -> Case:
    verdict = watcher.verdict
    return Case(
        fault=fault,
        temperature=temperature,
        tokens=watcher.tokens,
        onset=onset,
        alarm=verdict.alarm_token if verdict else None,
        finding=verdict.kind.value if verdict else None,
        leaked=0 if onset is None else max(0, watcher.released - onset),
    )


def report(found: Sequence[Cases], options: argparse.Namespace, subject: Subject) -> Report:
    after = AcceptanceThresholds().accept_length_after_tokens
    limits = AcceptanceThresholds()
    return Report(
        name="damage",
        title=f"Damaged generations under the published rule, {subject.weights.config.name}",
        device=options.device,
        columns=COLUMNS,
        rows=[cases.row(after) for cases in found],
        notes=[
            f"Rule: accept length under {limits.min_accept_length} after {after} tokens, or accept "
            f"rate over {limits.max_accept_rate} after {limits.accept_rate_min_steps} steps.",
            f"Damage once {options.after_tokens} tokens are out; up to {options.tokens} tokens an "
            f"answer, {'end tokens ignored' if options.ignore_eos else 'shorter if it ends'}; "
            f"{options.at_once} at once; {options.drafts} drafts a step.",
            f"The long ones passed {after} tokens or were caught; before, the rule cannot speak.",
            "Tokens to detection count from the damage, not from where the detector puts it.",
            "Leaked: tokens after the damage that adaptive release had let through. Median, and "
            "the value that nine in ten stay below.",
            "An answer that the damage did not reach before its end counts as healthy.",
        ],
        raw={"cases": [asdict(case) for cases in found for case in cases.all]},
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.damage", description=__doc__)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=384, help="longest answer")
    parser.add_argument("--after-tokens", type=int, default=16, help="when the damage is done")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.7, 1.0])
    parser.add_argument(
        "--faults",
        nargs="+",
        default=[HEALTHY, *FaultKind],
        choices=[HEALTHY, *FaultKind],
    )
    parser.add_argument("--at-once", type=int, default=16, help="concurrent requests")
    parser.add_argument("--drafts", type=int, default=3)
    parser.add_argument("--ignore-eos", action="store_true", help="every answer at full length")
    parser.add_argument("--seed", type=int, default=1)
    add_model_options(parser)
    return parser.parse_args()


def main() -> None:
    options = parse()
    subject = load_subject(options)
    prompts = chat_prompts(subject.tokenizer, options.prompts)
    engine = subject.engine(num_drafts=options.drafts, max_running=options.at_once)
    found = []
    with Progress() as progress:
        task = progress.add_task("", total=len(options.faults) * len(options.temperatures))
        for fault in options.faults:
            for temperature in options.temperatures:
                progress.update(task, description=f"{fault}, temperature {temperature:g}")
                found.append(run(engine, prompts, fault, temperature, options))
                progress.advance(task)
    publish(report(found, options, subject), write=options.write)


if __name__ == "__main__":
    main()
