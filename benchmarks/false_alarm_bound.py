"""Does the sequential test keep its bound? Simulated healthy requests, looked at after every step.

Three kinds of requests: every step at the worst healthy law (no healthy request is that bad: the
bound must hold even so), steps drawn from the pooled law, and requests that switch between the
pooled law and the worst one in bursts. Lengths are those at which a request may stop: the share
that ever alarmed is told for growing lengths.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.results import Report, publish
from detectors.acceptance.baseline import AcceptanceBaseline, prior_weight
from detectors.acceptance.law import Law
from detectors.acceptance.library import packaged_baselines
from monitor.interval import clopper_pearson

BOUNDS = (1e-2, 1e-3, 1e-4)
LENGTHS = (64, 256, 1024)
BATCH = 20_000
BURST_STEPS = 24

Counts = NDArray[np.int64]


def accepted(law: Law, shape: tuple[int, ...], random: np.random.Generator) -> Counts:
    """Counts drawn from ``law``."""
    edges = np.cumsum(law)[:-1]
    return np.searchsorted(edges, random.random(shape, dtype=np.float32), side="right")


def requests(
    kind: str, baseline: AcceptanceBaseline, steps: int, random: np.random.Generator
) -> Iterator[Counts]:
    """Yields the accepted counts ``[BATCH]`` of one step after another."""
    in_burst = np.zeros(BATCH, dtype=bool)
    for _ in range(steps):
        worst = accepted(baseline.floor, (BATCH,), random)
        if kind == "worst law":
            yield worst
            continue
        usual = accepted(baseline.histogram, (BATCH,), random)
        if kind == "pooled law":
            yield usual
            continue
        in_burst ^= random.random(BATCH) < 1 / BURST_STEPS
        yield np.where(in_burst, worst, usual)


def alarms(
    kind: str, baseline: AcceptanceBaseline, random: np.random.Generator
) -> dict[tuple[float, int], int]:
    """Of one batch: how many ever reached each bound within each length."""
    ratios = np.asarray(baseline.low_tables[-1])
    value = np.zeros(BATCH)
    largest = np.zeros(BATCH)
    found = {}
    for step, counts in enumerate(requests(kind, baseline, LENGTHS[-1], random), 1):
        value = (value + prior_weight(step)) * ratios[counts]
        np.maximum(largest, value, out=largest)
        if step in LENGTHS:
            found.update({(bound, step): int((largest >= 1 / bound).sum()) for bound in BOUNDS})
    return found


def report(baseline: AcceptanceBaseline, batches: int, seed: int) -> Report:
    random = np.random.default_rng(seed)
    rows = []
    total = batches * BATCH
    for kind in ("worst law", "bursts", "pooled law"):
        sums: dict[tuple[float, int], int] = {}
        for _ in track(range(batches), description=kind):
            for key, count in alarms(kind, baseline, random).items():
                sums[key] = sums.get(key, 0) + count
        for bound in BOUNDS:
            counts = [sums[bound, length] for length in LENGTHS]
            high = clopper_pearson(counts[-1], total)[1]
            holds = "yes" if high <= bound else "no"
            rows.append(
                [
                    kind,
                    f"{bound:g}",
                    *map(str, counts),
                    f"{counts[-1] / total:.2g}",
                    f"{high:.2g}",
                    holds,
                ]
            )
    return Report(
        name="false-alarm-bound",
        title="Simulated healthy requests that the sequential test would ever have stopped",
        device="cpu",
        columns=(
            "requests",
            "bound",
            *(f"by step {length:,}" for length in LENGTHS),
            "share",
            "95 % below",
            "kept",
        ),
        rows=rows,
        notes=[
            f"{total:,} requests of each kind, {LENGTHS[-1]:,} steps each, all looked at.",
            f"Baseline: {baseline.model}, {baseline.num_drafts} drafts a step; worst law "
            f"{format_law(baseline.floor)}.",
            "Bursts: pooled and worst law take turns, 24 steps each on average.",
        ],
        raw={},
    )


def format_law(law: Law) -> str:
    return " / ".join(f"{share:.3f}" for share in law)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.false_alarm_bound", description=__doc__
    )
    parser.add_argument("--requests", type=int, default=1_000_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    args = parser.parse_args()
    baseline = next(iter(packaged_baselines()))
    publish(report(baseline, -(-args.requests // BATCH), args.seed), write=args.write)


if __name__ == "__main__":
    main()
