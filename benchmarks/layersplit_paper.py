"""LayerSplit on paper beside a measured run: ``python -m benchmarks.layersplit_paper FILE``.

The link and the indexer's rate are taken from one length, the other lengths are predicted.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.layersplit_ranks import SMOLLM2
from inference_backend.model.shape import LlamaShape
from inference_backend.parallel.cost import (
    Fleet,
    LayerShape,
    LayerTimes,
    exposed,
    layer_times,
    rows_to_hide,
)
from inference_backend.parallel.owners import KvLayout
from inference_backend.sparse.indexer import default_index_shape

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
COLUMNS = (
    "tokens",
    "broadcast, ms",
    "on paper",
    "indexer, ms",
    "on paper",
    "exposed on paper, at turn",
    "one ahead",
)


def layer_shape(shape: LlamaShape, dtype: str) -> LayerShape:
    item, index = ITEM_BYTES[dtype], default_index_shape(shape)
    return LayerShape(
        kv_bytes=2 * shape.num_kv_heads * shape.head_dim * item,
        index_bytes=index.dim * item,
        index_operations=2 * index.heads * index.dim,
    )


def unit_times(measured: dict[str, Any], layers: int) -> tuple[float, float, float]:
    """Seconds of a sequence in a layer: broadcast, indexer, everything else."""
    overlap = measured["overlap"]
    units = layers * measured["case"]["batch"]
    rest = overlap["total"] - overlap["indexer"] - overlap["waiting"]
    return overlap["broadcast"] / units, overlap["indexer"] / units, rest / units


def fit(shape: LayerShape, ranks: int, measured: dict[str, Any], layers: int) -> Fleet:
    """The link and the indexer's rate that explain one measurement."""
    case = measured["case"]
    broadcast, indexer, _ = unit_times(measured, layers)
    cached = case["context"] - case["new"]
    pairs = case["new"] / ranks * (cached + case["new"] / 2)
    return Fleet(
        ranks=ranks,
        link=cached * (shape.kv_bytes + shape.index_bytes) / broadcast,
        latency=0.0,
        index_rate=pairs * shape.index_operations / indexer,
    )


def row(shape: LayerShape, fleet: Fleet, measured: dict[str, Any], layers: int) -> list[str]:
    case = measured["case"]
    broadcast, indexer, rest = unit_times(measured, layers)
    paper: LayerTimes = layer_times(fleet, shape, case["context"], case["new"], rest)
    times = (
        broadcast,
        paper.index_broadcast + paper.kv_broadcast,
        indexer,
        paper.indexer,
        exposed(paper, 0),
        exposed(paper, 1),
    )
    return [f"{case['context']:,}", *(f"{1e3 * seconds:.2f}" for seconds in times)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.layersplit_paper", description=__doc__
    )
    parser.add_argument("result", type=Path, help="a JSON file that benchmarks.layersplit wrote")
    parser.add_argument("--ahead", type=int, choices=[0, 1], default=1, help="which rows")
    options = parser.parse_args()
    raw = json.loads(options.result.read_text(encoding="utf-8"))["raw"]
    setting = raw["setting"]
    shape = layer_shape(SMOLLM2, setting["dtype"])
    layers = setting["layers"]
    wanted = (KvLayout.SPLIT, options.ahead)
    chosen = [
        each
        for each in raw["measured"]
        if (each["case"]["layout"], each["case"]["ahead"]) == wanted
    ]
    fleet = fit(shape, setting["ranks"], chosen[len(chosen) // 2], layers)
    table = Table(title=f"{options.ahead} ahead; link {fleet.link / 1e9:.2f} GB/s")
    for column in COLUMNS:
        table.add_column(column)
    for each in chosen:
        table.add_row(*row(shape, fleet, each, layers))
    console = Console()
    console.print(table)
    console.print(
        f"The indexer covers a broadcast from {rows_to_hide(fleet, shape):,.0f} new tokens a "
        "sequence on.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
