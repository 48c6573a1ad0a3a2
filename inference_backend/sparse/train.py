"""Fits an indexer to its target's attention on long text.

``python -m inference_backend.sparse.train --help``
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inference_backend.model.progress import ProgressBar
from inference_backend.model.source import load_model_files
from inference_backend.model.transformer import Transformer, build_transformer
from inference_backend.model.weights import load_tokenizer, load_weights
from inference_backend.sparse.distil import distil
from inference_backend.sparse.index_file import SHIPPED, save_indexer
from inference_backend.sparse.indexer import Indexer, IndexShape, default_index_shape
from inference_backend.sparse.text import default_folders, find_files, read_rows

FIRST_QUERY = 64
"""Queries nearer to the beginning than this have little to choose from."""


@dataclass(frozen=True, slots=True)
class FitPlan:
    """What one run does. Time in seconds.

    Attributes:
        batch_rows: rows of text a step.
        queries: of each row, how many queries are compared.
    """

    seconds: float
    batch_rows: int
    queries: int
    learning_rate: float
    seed: int


def fit(model: Transformer, rows: Tensor, shape: IndexShape, plan: FitPlan) -> Indexer:
    """Fits an indexer to ``rows [count, length]`` for the planned time.

    The rate falls along a cosine.
    """
    device = model.norm.device
    torch.manual_seed(plan.seed)
    indexer = Indexer(model.shape, shape).to(device)
    optimizer = torch.optim.AdamW(indexer.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.0)
    random = torch.Generator().manual_seed(plan.seed)
    began, step = time.monotonic(), 0
    while (progress := (time.monotonic() - began) / plan.seconds) < 1:
        warm = min(1.0, (step + 1) / 20)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * progress))
        picked = torch.randint(len(rows), (plan.batch_rows,), generator=random)
        queries = FIRST_QUERY + torch.randperm(rows.shape[1] - FIRST_QUERY, generator=random)
        queries = queries[: plan.queries].sort().values
        optimizer.zero_grad(set_to_none=True)
        losses = distil(model, indexer, rows[picked].long().to(device), queries.to(device))
        optimizer.step()
        step += 1
        if step % 50 == 0 or step == 1:
            print(
                f"step {step}: loss {losses.mean().item():.4f}, "
                f"worst layer {losses.max().item():.4f}, {progress:.0%}",
                flush=True,
            )
    return indexer


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m inference_backend.sparse.train", description=__doc__
    )
    parser.add_argument(
        "--model", default=None, help="folder or name of the target (default: SmolLM2-135M)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--output", type=Path, default=None, help="file to write (default: the shipped one)"
    )
    parser.add_argument(
        "--text",
        type=Path,
        action="append",
        help="folder of text, once per folder (default: the sources of Python's library)",
    )
    parser.add_argument("--rows", type=int, default=1024, help="rows of text, from each folder")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a row")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--batch-rows", type=int, default=4)
    parser.add_argument("--queries", type=int, default=512, help="queries compared in a row")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--heads", type=int, default=4, help="query heads of the indexer")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with ProgressBar() as progress:
        folder = load_model_files(options.model, progress)
    loaded = load_weights(folder)
    model = build_transformer(loaded.config, loaded.tensors, device, dtype)
    tokenizer = load_tokenizer(folder)
    parts = [
        read_rows(tokenizer, find_files([each], held_out=False), options.length, options.rows)
        for each in options.text or default_folders()
    ]
    rows = torch.cat(parts)
    print(f"text: {' + '.join(str(len(part)) for part in parts)} rows", flush=True)
    default = default_index_shape(model.shape)
    shape = IndexShape(default.dim, options.heads, default.rotary_dim)
    plan = FitPlan(
        options.seconds, options.batch_rows, options.queries, options.learning_rate, options.seed
    )
    indexer = fit(model, rows, shape, plan)
    output = options.output or SHIPPED / f"{model.shape.name}.safetensors"
    output.parent.mkdir(parents=True, exist_ok=True)
    save_indexer(output, indexer, model.shape)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
