"""LayerSplit against a replicated cache: what a fixed memory a rank holds, and how fast it is.

Prompts of 40K to 120K tokens, 90 % of them cached, in passes of as many as fit into the budget. A
model with random weights in SmolLM2-135M's shape, whose own context is too short; ranks are
processes: over gloo on CPUs, where lengths are divided by ``--scale``, over NCCL on GPUs.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import msgspec
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped

from benchmarks.layersplit_profile import profile_pass
from benchmarks.layersplit_ranks import (
    HOST,
    Case,
    Noise,
    Setting,
    leading,
    make_model,
    use_device,
)
from benchmarks.layersplit_report import COLUMNS, Measured, notes_of, rows_of
from benchmarks.results import Report, publish
from inference_backend.engine.engine import Engine
from inference_backend.engine.options import DTYPES
from inference_backend.engine.request import GenerationRequest, SamplingParams
from inference_backend.parallel.accounting import PageBytes, pages_within
from inference_backend.parallel.leader import Leader
from inference_backend.parallel.owners import KvLayout, LayerOwners
from inference_backend.sparse.indexer import default_index_shape

LENGTHS = [40_000, 60_000, 80_000, 100_000, 120_000]
WAYS = [(KvLayout.REPLICATED, 0), (KvLayout.SPLIT, 0), (KvLayout.SPLIT, 1)]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layersplit", description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--one-device", action="store_true", help="all ranks on one GPU, over gloo")
    parser.add_argument("--dtype", choices=list(DTYPES), help="float32 on cpu, bfloat16 on cuda")
    parser.add_argument("--threads", type=int, default=1, help="of torch, a rank")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--scale", type=int, help="divides the lengths; 20 on cpu, 1 on cuda")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--topk", type=int, default=512)
    parser.add_argument("--passes", type=int, default=2, help="in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--budget",
        type=float,
        default=1.25,
        help="cache of a rank: as much as so many of the longest prompts need, replicated",
    )
    parser.add_argument("--port", type=int, default=0, help="of the ranks' store")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    return parser.parse_args()


def page_bytes(setting: Setting) -> PageBytes:
    shape, item = setting.shape, DTYPES[setting.dtype].itemsize
    key = shape.num_kv_heads * shape.head_dim
    margin = 32
    return PageBytes(
        setting.page_size * 2 * key * item + margin,
        setting.page_size * default_index_shape(shape).dim * item + margin,
    )


def plan_case(setting: Setting, layout: KvLayout, ahead: int, context: int, budget: int) -> Case:
    """As many sequences as fit, and two pages more for each, which the scheduler keeps free."""
    size, owners = setting.page_size, LayerOwners(setting.layers, setting.ranks)
    each = -(-context // size) + 2
    fits = pages_within(budget, page_bytes(setting), owners, layout, each) - 4
    batch = fits // each
    if batch == 0:
        raise SystemExit(f"--budget does not hold one prompt of {context} tokens ({layout})")
    cached = context * 9 // 10 // size * size
    return Case(
        layout=layout,
        ahead=ahead,
        context=context,
        new=context - cached,
        batch=batch,
        pages=batch * each + 2,
        round=0,
    )


def make_setting(options: argparse.Namespace, port: int) -> Setting:
    scale = options.scale or {"cpu": 20, "cuda": 1}[options.device]
    lengths = [length // scale for length in options.lengths]
    setting = Setting(
        ranks=options.ranks,
        port=port,
        device=options.device,
        dtype=options.dtype or {"cpu": "float32", "cuda": "bfloat16"}[options.device],
        threads=options.threads,
        layers=options.layers,
        page_size=16,
        topk=options.topk,
        one_device=options.one_device,
        cases=[],
    )
    size = page_bytes(setting)
    budget = int(options.budget * max(lengths) / 16 * setting.layers * (size.kv + size.index))
    cases = [
        replace(plan_case(setting, layout, ahead, length, budget), round=number)
        for length in lengths
        for number in range(options.rounds)
        for layout, ahead in WAYS
    ]
    return replace(setting, cases=cases)


def seed_prefixes(engine: Engine, case: Case) -> list[list[int]]:
    """Lets the engine find the beginnings of all prompts; ``Noise`` fills their pages."""
    source, cache = random.Random(0), engine.scheduler.cache
    prefixes = []
    for _ in range(case.batch):
        text = [source.randrange(1, 4096) for _ in range(case.context - case.new)]
        lease = cache.open([*text, 0], "", len(text))
        assert lease is not None
        cache.publish(lease, text, len(text))
        cache.close(lease)
        prefixes.append(text)
    return prefixes


def run_pass(leader: Leader, case: Case, prefixes: list[list[int]], number: int) -> float:
    """Seconds of one pass over the batch; each pass has other tokens after the prefixes."""
    engine, source = leader.engine, random.Random(1000 + number)
    sampling = SamplingParams(max_new_tokens=1, temperature=0.0, ignore_eos=True)
    for index, prefix in enumerate(prefixes):
        text = (*prefix, *(source.randrange(1, 4096) for _ in range(case.new)))
        engine.add(GenerationRequest(f"{number}-{index}", text, sampling))
    began = time.perf_counter()
    outputs = engine.step()
    seconds = time.perf_counter() - began
    assert len(outputs) == case.batch, "the batch did not fit into one pass"
    assert all(each.cached_tokens == case.context - case.new for each in outputs)
    return seconds


def measure(leader: Leader, case: Case, passes: int) -> Measured:
    engine, noise = leader.engine, Noise(leader.rank)
    prefixes = seed_prefixes(engine, case)
    engine.runner.on_layer = lambda layer, _: noise(layer)
    run_pass(leader, case, prefixes, 0)
    engine.runner.on_layer = None
    seconds = [run_pass(leader, case, prefixes, number) for number in range(1, passes + 1)]
    overlap = profile_pass(lambda: run_pass(leader, case, prefixes, passes + 1))
    staging = 0 if leader.rank.staging is None else leader.rank.staging.nbytes
    return Measured(case, seconds, leader.rank.stored_bytes, staging, overlap)


@contextmanager
def others(setting: Setting) -> Iterator[None]:
    """The other ranks, as processes."""
    text = msgspec.json.encode(setting).decode()
    command = [sys.executable, "-m", "benchmarks.layersplit_ranks", text]
    children = [subprocess.Popen([*command, str(name)]) for name in range(1, setting.ranks)]
    try:
        yield
        for child in children:
            child.wait(60)
    finally:
        for child in children:
            child.kill()
            child.wait()


def add(found: dict[tuple[int, str], Measured], more: Measured) -> None:
    """A further round of a case: all of its passes, and the profile of the least disturbed."""
    key = (more.case.context, more.case.name)
    known = found.get(key)
    if known is None:
        found[key] = more
        return
    overlap = min(known.overlap, more.overlap, key=lambda each: each.total)
    found[key] = replace(more, seconds=known.seconds + more.seconds, overlap=overlap)


def main() -> None:
    options = parse()
    store = TCPStore(
        HOST, options.port, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=300)
    )
    setting = make_setting(options, store.port)
    device = use_device(setting, 0)
    found: dict[tuple[int, str], Measured] = {}
    with others(setting):
        model, indexer = make_model(setting, device)
        for case in setting.cases:
            with leading(setting, case, store, model, indexer) as leader:
                add(found, measure(leader, case, options.passes))
    report = Report(
        name=f"layersplit-{setting.ranks}-ranks",
        title=f"LayerSplit against a replicated cache, {setting.ranks} ranks",
        device=setting.device,
        columns=COLUMNS,
        rows=rows_of(list(found.values())),
        notes=notes_of(setting, list(found.values())),
        raw={
            "setting": msgspec.to_builtins(setting),
            "measured": [msgspec.to_builtins(each) for each in found.values()],
        },
    )
    publish(report, write=options.write)


if __name__ == "__main__":
    main()
