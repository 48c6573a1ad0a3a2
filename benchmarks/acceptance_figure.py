"""The picture that specwatch is built on, from real generations of the integrated engine.

Accept length and accept rate along the stream: healthy, garbled and rare-character output of a
damaged cache, and output that falls into a loop. Medians over the runs of each kind in windows of
16 steps, with the band that holds 80 % of them; token 0 is the onset.
"""

import argparse
import gzip
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from inference_backend.model.progress import ProgressBar
from inference_backend.model.source import load_model_files
from monitor.offline.loops import final_loop

WINDOW_STEPS = 16
BEFORE, AFTER, EVERY = 96, 192, 4  # tokens around the onset, and between two points
HEALTHY_ORIGIN = 96
RARE_SHARE = 0.02  # of the characters after the onset outside of ASCII: rare-character output
RUNS = 80


@dataclass(frozen=True, slots=True)
class Run:
    """One generation, and the token that its curve is drawn around."""

    record: dict[str, Any]
    onset: int


def curve(run: Run, read: Callable[[int, int, int], float]) -> dict[int, float]:
    """Window values by token since the onset; ``read`` gets accepted, drafted and steps."""
    tokens, found = 1, {}
    accepted, drafted = run.record["accepted_per_step"], run.record["drafted_per_step"]
    for step, count in enumerate(accepted, 1):
        tokens += count + 1
        place = round((tokens - run.onset) / EVERY) * EVERY
        if step >= WINDOW_STEPS and -BEFORE <= place <= AFTER:
            window = slice(step - WINDOW_STEPS, step)
            found[place] = read(sum(accepted[window]), sum(drafted[window]), WINDOW_STEPS)
    return found


def bands(runs: Sequence[Run], read: Callable[[int, int, int], float]) -> list[tuple[float, ...]]:
    """Token, 10th percentile, median and 90th percentile over the runs."""
    values: dict[int, list[float]] = {}
    for run in runs:
        for place, value in curve(run, read).items():
            values.setdefault(place, []).append(value)
    rows = []
    for place in sorted(values):
        if len(values[place]) >= len(runs) // 2:
            tenths = statistics.quantiles(values[place], n=10)
            rows.append((place, tenths[0], statistics.median(values[place]), tenths[-1]))
    return rows


def read_records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def kinds(folder: Path, decode: Callable[[Sequence[int]], str]) -> dict[str, list[Run]]:
    """Runs of each kind, of all temperatures."""
    found: dict[str, list[Run]] = {"healthy": [], "repeating": [], "garbled": [], "rare": []}
    for record in read_records(folder, "none"):
        start = final_loop(record["token_ids"])
        if start is None and len(record["token_ids"]) > HEALTHY_ORIGIN + AFTER:
            found["healthy"].append(Run(record, HEALTHY_ORIGIN))
        elif start is not None and BEFORE / 2 < start < len(record["token_ids"]) - AFTER:
            found["repeating"].append(Run(record, start))
    for name in ("noise", "zero_layers"):
        for record in read_records(folder, name):
            onset = record["onset_token"]
            if onset is None or onset < BEFORE / 2 or len(record["token_ids"]) < onset + AFTER / 2:
                continue
            if final_loop(record["token_ids"][:onset]) is not None:
                continue  # it had been looping before its cache was damaged
            text = decode(record["token_ids"][onset:])
            share = sum(not character.isascii() for character in text) / max(1, len(text))
            found["rare" if share > RARE_SHARE else "garbled"].append(Run(record, onset))
    return {kind: spread(runs) for kind, runs in found.items()}


def spread(runs: Sequence[Run]) -> list[Run]:
    """At most ``RUNS`` of them, evenly from the whole list."""
    step = max(1, len(runs) // RUNS)
    return list(runs[::step][:RUNS])


LOOK = {
    "healthy": ("healthy", "#4a4a4a"),
    "garbled": ("garbled (damaged cache)", "#c8352b"),
    "rare": ("rare characters (damaged cache)", "#7b3fb0"),
    "repeating": ("repeating (loop)", "#1f77b4"),
}


def draw(found: dict[str, list[Run]], path: Path) -> None:
    import matplotlib  # noqa: PLC0415 (an extra)

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 (an extra)

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    views = (
        ("accept length (tokens per step)", lambda accepted, _, steps: 1 + accepted / steps),
        ("accept rate (accepted / drafted)", lambda accepted, drafted, _: accepted / drafted),
    )
    for axis, (title, read) in zip(axes, views, strict=True):
        for kind, (label, color) in LOOK.items():
            rows = bands(found[kind], read)
            places, low, middle, high = zip(*rows, strict=True)
            axis.fill_between(places, low, high, color=color, alpha=0.12, linewidth=0)
            axis.plot(places, middle, color=color, label=f"{label}, {len(found[kind])} runs")
        axis.axvline(0, color="black", linewidth=0.8, linestyle=":")
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel("tokens since the onset")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].axhline(1.4, color="black", linewidth=0.8, linestyle="--")
    axes[1].axhline(0.96, color="black", linewidth=0.8, linestyle="--")
    for axis, level in zip(axes, (1.4, 0.96), strict=True):
        place = {"xytext": (2, 3), "textcoords": "offset points", "fontsize": 8}
        axis.annotate(f"published: {level}", (-BEFORE, level), **place)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.acceptance_figure", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="what benchmarks.generations wrote")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results/acceptance.png"
    )
    args = parser.parse_args()
    with ProgressBar() as progress:
        model = load_model_files(None, progress)
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    found = kinds(args.folder, tokenizer.decode)
    draw(found, args.out)
    print(", ".join(f"{len(runs)} {kind}" for kind, runs in found.items()), "->", args.out)


if __name__ == "__main__":
    main()
