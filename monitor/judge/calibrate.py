"""Where the judge's thresholds come from, and how often it is wrong. Not used while serving.

    python -m monitor.judge.calibrate FOLDER

``FOLDER`` holds ``*.jsonl.gz`` of generations with the truth beside them: ``split``, ``fault``,
``onset_token`` (null: healthy) and ``token_ids`` of the judge's own tokenizer. The lines are learnt
on the split ``calibrate``, the errors counted on ``test``; prompts stand in one split only.
"""

import argparse
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from monitor.judge.estimate import share
from monitor.judge.language_model import LanguageModel, load_language_model
from monitor.judge.opinion import Opinion, Thresholds, judge_text
from monitor.judge.window import ScoredToken, cut_windows, token_at

TOKENS_BEFORE_END = 512  # of a healthy answer
TOKENS_AFTER_ONSET = 160
HEALTHY = "none"


@dataclass(frozen=True, slots=True)
class Judged:
    """One generation, scored.

    Attributes:
        fault: what was done to the cache; ``none`` for a healthy one.
        onset_character: where damage begins in ``text``; ``None`` in a healthy one.
    """

    fault: str
    text: str
    scored: Sequence[ScoredToken]
    onset_character: int | None

    @property
    def worst_surprisal(self) -> float | None:
        """Of the worst window from the onset on, nats per token; ``None`` if it is too short."""
        onset = self.onset_character
        first = 0 if onset is None else token_at(self.scored, onset)
        windows = cut_windows(self.text, self.scored, first=first)
        return max((window.surprisal for window in windows), default=None)


def read_generations(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Healthy generations, and damaged ones whose damage came before their end."""
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                is_labelled = record["fault"] == HEALTHY or record["onset_token"] is not None
                if record["split"] == split and is_labelled:
                    yield record


def judged(model: LanguageModel, record: dict[str, Any]) -> Judged:
    """The part that a judge would get: up to a while after the onset, or the end of the answer."""
    ids, onset = record["token_ids"], record["onset_token"]
    end = len(ids) if onset is None else min(len(ids), onset + TOKENS_AFTER_ONSET)
    start = max(0, end - TOKENS_BEFORE_END)
    text = model.decode(ids[start:end])
    before = None if onset is None else len(model.decode(ids[start : max(start, onset)]))
    return Judged(record["fault"], text, model.score(text), before)


def sample(folder: Path, split: str, per_fault: int) -> list[dict[str, Any]]:
    """So many generations of each fault and temperature, always the same ones."""
    records = list(read_generations(folder, split))
    random.Random(0).shuffle(records)
    taken: Counter[tuple[str, float]] = Counter()
    chosen = []
    for record in records:
        kind = (record["fault"], record["temperature"])
        taken[kind] += 1
        if taken[kind] <= per_fault:
            chosen.append(record)
    return chosen


def quantile(values: Iterable[float], share_below: float) -> float:
    """The value below which this share lies."""
    ordered = sorted(values)
    return ordered[int(share_below * (len(ordered) - 1))]


def area_under_roc(healthy: Sequence[float], damaged: Sequence[float]) -> float:
    """P(a damaged one scores higher than a healthy one), ties counted half."""
    wins = sum((bad > good) + 0.5 * (bad == good) for bad in damaged for good in healthy)
    return wins / (len(healthy) * len(damaged))


def tell_lines(generations: Sequence[Judged]) -> None:
    """What the thresholds are set by."""
    by_fault = worst_by_fault(generations)
    healthy = by_fault.pop(HEALTHY)
    print(
        f"healthy, worst window: 99 % below {quantile(healthy, 0.99):.2f}, max {max(healthy):.2f}"
    )
    for fault, damaged in by_fault.items():
        print(
            f"{fault}: worst window from the onset on: 1 % below {quantile(damaged, 0.01):.2f}, "
            f"5 % below {quantile(damaged, 0.05):.2f}; "
            f"area under the ROC curve {area_under_roc(healthy, damaged):.4f}"
        )


def worst_by_fault(generations: Sequence[Judged]) -> dict[str, list[float]]:
    """Worst surprisals of the generations of each fault that are long enough."""
    found: dict[str, list[float]] = {}
    for one in generations:
        if one.worst_surprisal is not None:
            found.setdefault(one.fault, []).append(one.worst_surprisal)
    return found


def tell_opinions(generations: Sequence[Judged]) -> None:
    """Opinions by fault, with exact intervals."""
    counts: dict[str, Counter[str]] = {}
    for one in generations:
        counts.setdefault(one.fault, Counter())[label(one)] += 1
    for fault, opinions in sorted(counts.items()):
        for opinion, count in sorted(opinions.items()):
            part = share(count, opinions.total())
            interval = f"[{part.low:.1%}, {part.high:.1%}]"
            print(f"{fault}: {opinion} {count}/{part.whole} {interval}")


def label(one: Judged) -> str:
    """The opinion; a loop apart, since a healthy small model falls into true loops by itself."""
    found = judge_text(one.text, one.scored, onset_character=one.onset_character)
    is_loop = (
        found.opinion is Opinion.SICK and (one.worst_surprisal or 0) < Thresholds().sick_surprisal
    )
    return "sick (loop)" if is_loop else found.opinion.value


def main() -> None:
    """Score both splits and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="folder or name of another judge")
    parser.add_argument("--per-fault", type=int, default=25, help="of each fault and temperature")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    model = load_language_model(options.model, options.threads)
    for split in ("calibrate", "test"):
        records = sample(options.folder, split, options.per_fault)
        generations = [judged(model, record) for record in track(records, description=split)]
        print(f"== {split}: {len(generations)} generations")
        tell_lines(generations)
        tell_opinions(generations)


if __name__ == "__main__":
    main()
