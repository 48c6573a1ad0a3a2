"""What sparse attention costs in quality: perplexity with top-k keys against full attention.

On text that the indexer has not seen, beside a sliding window of the same size and the best choice
there is (the attention's own heaviest keys).
"""

import argparse
import math
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.results import Report, publish
from inference_backend.engine.options import DTYPES
from inference_backend.model.transformer import Transformer, build_transformer
from inference_backend.sparse.index_file import find_indexer, load_indexer
from inference_backend.sparse.quality import (
    Quality,
    Score,
    by_attention,
    by_indexer,
    by_recency,
    measure,
)
from inference_backend.sparse.text import default_folders, find_files, read_rows

COLUMNS = ("text", "keys", "top-k", "perplexity", "against full", "95 %", "attention kept")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse_attention", description=__doc__
    )
    add_model_options(parser)
    parser.add_argument("--indexer", help="weights (default: those shipped for the model)")
    parser.add_argument(
        "--text",
        type=Path,
        action="append",
        help="folder of text, once per folder (default: the sources of Python's library)",
    )
    parser.add_argument("--rows", type=int, default=24, help="texts from each folder")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a text")
    parser.add_argument("--topk", type=int, nargs="+", default=[512])
    return parser.parse_args()


def compare(
    model: Transformer, rows: Tensor, ways: dict[str, Score], topk: int, after: int
) -> dict[str, list[Quality]]:
    """Every text under every way, and under full attention first."""
    found: dict[str, list[Quality]] = {name: [] for name in ("full", *ways)}
    for row in track(rows, "texts"):
        tokens = row.long().to(model.norm.device)
        for name, each in found.items():
            each.append(measure(model, tokens, ways.get(name), topk, after))
    return found


def table_rows(name: str, topk: int, found: dict[str, list[Quality]]) -> list[list[str]]:
    full = [one.loss for one in found["full"]]
    lines = []
    for way, each in found.items():
        losses = [one.loss for one in each]
        recall = sum(one.recall for one in each) / len(each)
        shift, half = paired(losses, full)
        is_full = way == "full"
        lines.append(
            [
                name,
                way,
                "all" if is_full else str(topk),
                f"{math.exp(sum(losses) / len(losses)):.3f}",
                "" if is_full else f"{percent(shift):+.2f} %",
                "" if is_full else f"{percent(shift - half):+.2f} to {percent(shift + half):+.2f}",
                f"{recall:.1%}",
            ]
        )
    return lines


def paired(losses: list[float], full: list[float]) -> tuple[float, float]:
    """Mean difference of the losses, text by text, and half of its 95 % interval (normal)."""
    shifts = torch.tensor(losses, dtype=torch.double) - torch.tensor(full, dtype=torch.double)
    if len(shifts) < 2:
        return shifts.mean().item(), math.inf
    return shifts.mean().item(), 1.96 * shifts.std().item() / math.sqrt(len(shifts))


def percent(shift: float) -> float:
    """A difference of losses as a change of perplexity."""
    return 100 * math.expm1(shift)


def ways_of(subject: Subject, model: Transformer, path: str | None) -> dict[str, Score]:
    file = find_indexer(model.shape, path)
    indexer = load_indexer(file, model.shape, model.norm.device, model.norm.dtype)
    return {
        "indexer": by_indexer(indexer),
        "the heaviest (oracle)": by_attention,
        "the latest (window)": by_recency,
    }


def main() -> None:
    options = parse()
    subject = load_subject(options)
    device = torch.device(subject.device)
    model = build_transformer(
        subject.weights.config, subject.weights.tensors, device, DTYPES[subject.dtype]
    )
    ways = ways_of(subject, model, options.indexer)
    lines: list[list[str]] = []
    raw = {}
    for folder in options.text or default_folders():
        name = folder.name
        files = find_files([folder], held_out=True)
        rows = read_rows(subject.tokenizer, files, options.length, options.rows)
        for topk in options.topk:
            found = compare(model, rows, ways, topk, after=topk)
            lines += table_rows(f"{name} ({len(rows)} texts)", topk, found)
            raw[f"{name}, {topk}"] = {
                way: [[one.loss, one.recall] for one in each] for way, each in found.items()
            }
    notes = [
        f"{options.length} tokens a text; judged from token top-k on, where something is left out.",
        "Held-out files, one in ten by the hash of their names; texts weigh the same.",
        "Attention kept: share of full attention's weight on the chosen keys, all layers.",
    ]
    report = Report(
        name="sparse-attention",
        title="Sparse attention against full attention",
        device=subject.device,
        columns=COLUMNS,
        rows=lines,
        notes=notes,
        raw=raw,
    )
    publish(report, write=options.write)


if __name__ == "__main__":
    main()
