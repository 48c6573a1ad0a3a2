"""Which of an engine's numbers go together with anomalies. Pure.

For each number: the chance that it was higher at an anomalous trial than at a clean one (the area
under the curve), and how likely a difference like that is by chance (a permutation test with a
fixed seed, corrected for the count of numbers that were looked at).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PERMUTATIONS = 2000
SIGNIFICANT = 0.05

SUBSYSTEMS: Mapping[str, str] = {
    "waiting_requests": "scheduling and queues",
    "running_requests": "batching",
    "cache_usage": "KV pages: eviction, reuse",
    "preemptions": "KV pages: preemption",
    "aborted_requests": "aborts, and the hand-off of pages between prefill and decode",
    "host_loads": "the host tier (HiCache): loads of evicted prefixes",
}


@dataclass(frozen=True, slots=True)
class Association:
    """One number.

    Attributes:
        higher: chance that it was higher where the answer was anomalous; 0.5: no matter.
        p_value: corrected.
    """

    quantity: str
    subsystem: str
    higher: float
    p_value: float

    @property
    def is_suspect(self) -> bool:
        """It goes up with the anomalies, and not by chance."""
        return self.higher > 0.5 and self.p_value <= SIGNIFICANT


@dataclass(frozen=True, slots=True)
class Sample:
    """One trial: the engine's numbers about it, and whether its answer was anomalous."""

    numbers: Mapping[str, float]
    is_anomalous: bool


def associations(samples: Sequence[Sample]) -> list[Association]:
    """The most suspicious first; none where all trials ended alike."""
    looked_at = [name for name in SUBSYSTEMS if any(name in sample.numbers for sample in samples)]
    found = []
    for name in looked_at:
        told = [sample for sample in samples if name in sample.numbers]
        values = [sample.numbers[name] for sample in told]
        marks = [sample.is_anomalous for sample in told]
        if any(marks) and not all(marks):
            higher, p_value = _compare(values, marks)
            corrected = min(1.0, p_value * len(looked_at))
            found.append(Association(name, SUBSYSTEMS[name], higher, corrected))
    return sorted(found, key=lambda each: (each.p_value, -each.higher))


def _compare(values: Sequence[float], marks: Sequence[bool]) -> tuple[float, float]:
    ranks = mean_ranks(values)
    hits = sum(marks)
    pairs = hits * (len(marks) - hits)

    def area(chosen: Sequence[bool]) -> float:
        total = sum(rank for rank, is_chosen in zip(ranks, chosen, strict=True) if is_chosen)
        return (total - hits * (hits + 1) / 2) / pairs

    seen, rng, shuffled = area(marks), random.Random(0), list(marks)
    as_far = 1
    for _ in range(PERMUTATIONS):
        rng.shuffle(shuffled)
        as_far += abs(area(shuffled) - 0.5) >= abs(seen - 0.5) - 1e-12
    return seen, as_far / (PERMUTATIONS + 1)


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks
