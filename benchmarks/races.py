"""Corrupted generations with and without the cures of both races, counted by the sanitizer.

A prefill and a decode engine on one device, real prompts, open loop. Decode gives a request up when
its prefill is later than the budget; under ``unsafe`` it takes the pages back at once, as engines
shipped it, under ``confirm`` it waits for the prefill's word. With ``--sparse`` the prefill has
sparse attention and a host tier, and prompts share documents that do not all fit on the device;
under ``kv-only`` the forward pass does not wait for the indexer's cache, as engines shipped it,
under ``full`` it does. The cells take turns, round by round.
"""

import argparse
import asyncio
import gzip
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from benchmarks.generations import Recorder
from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.race_load import arrivals, make_prompts
from benchmarks.race_outcome import Outcome, first_kind, price_report, report, share_report
from benchmarks.race_pair import Bench, Cell, LocalBench, ProcessBench, syncs
from benchmarks.race_tables import Pace
from benchmarks.results import publish
from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.engine.request import SamplingParams
from inference_backend.errors import BackendError
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.labels import Corruption


async def run_round(
    bench: Bench,
    cell: Cell,
    prompts: Sequence[tuple[int, ...]],
    rate: float,
    seed: int,
    outcome: Outcome,
    told: Callable[[], None],
) -> None:
    """One round of a cell: as many requests as there are prompts."""
    rng = random.Random(seed)
    times = arrivals(len(prompts), rate, cell.burst, rng)
    retired, tokens_before, firsts = bench.retired, outcome.tokens, len(outcome.first_token_seconds)
    async with bench.serving(cell, bench.budget_seconds) as front:
        started = time.monotonic()

        async def one(prompt: tuple[int, ...], temperature: float, tokens: int) -> None:
            number = bench.next_number()
            sampling = SamplingParams(
                max_new_tokens=tokens, temperature=temperature, seed=number, ignore_eos=True
            )
            about = {
                "id": f"{cell.protocol}-{cell.sync}-{cell.name}-{number}",
                "model": bench.name,
                "num_drafts": bench.num_drafts,
                "temperature": temperature,
            }
            outcome.requests += 1
            try:
                recorder, first, kinds, onset = await front.ask(number, prompt, sampling, about)
            except BackendError:
                outcome.given_up += 1
                return
            finally:
                told()
            outcome.tokens += len(recorder.token_ids)
            if first is not None:
                outcome.first_token_seconds.append(first)
            keep(bench, outcome, recorder, kinds, onset)

        tasks = []
        for at, prompt in zip(times, prompts, strict=True):
            await asyncio.sleep(max(0.0, started + at - time.monotonic()))
            temperature = rng.choice((0.0, 0.7, 1.0))
            tasks.append(
                asyncio.ensure_future(one(prompt, temperature, rng.choice(bench.new_tokens)))
            )
        await asyncio.gather(*tasks)
        seconds = time.monotonic() - started
    outcome.seconds += seconds
    outcome.retired += bench.retired - retired
    waited = sorted(outcome.first_token_seconds[firsts:])
    p99 = waited[int(0.99 * (len(waited) - 1))] if waited else 0.0
    outcome.paces.append(Pace((outcome.tokens - tokens_before) / seconds, p99))


def keep(
    bench: Bench,
    outcome: Outcome,
    recorder: Recorder,
    kinds: Counter[Corruption],
    onset: int | None,
) -> None:
    """Every corrupted generation, and some healthy ones, for the detectors' table."""
    if kinds:
        outcome.corrupted[str(recorder.about["id"])] = kinds
        recorder.about["fault"] = first_kind(kinds)
        outcome.lines.append(bench.texts(recorder, onset))
    elif len(outcome.lines) - len(outcome.corrupted) < bench.keep_healthy:
        recorder.about["fault"] = "none"
        outcome.lines.append(bench.texts(recorder, None))


async def measure_capacity(bench: Bench, prompts: Sequence[tuple[int, ...]]) -> float:
    """Requests a second that the pair answers when all of these come at once."""
    cell = Cell(AbortProtocol.CONFIRM, LoadSync.FULL, "warm-up", 1.0, 1.0)
    outcome = Outcome()
    budget, bench.budget_seconds = bench.budget_seconds, 600.0
    await run_round(bench, cell, prompts, 1e6, 0, outcome, lambda: None)  # graphs, kernels
    outcome = Outcome()
    await run_round(bench, cell, prompts, 1e6, 1, outcome, lambda: None)
    bench.budget_seconds = budget
    return outcome.requests / outcome.seconds


async def run(args: argparse.Namespace, subject: Subject) -> dict[Cell, Outcome]:
    prompts = make_prompts(subject, args)
    bench = (ProcessBench if args.processes else LocalBench)(subject, args)
    try:
        return await run_cells(bench, args, prompts)
    finally:
        bench.close()


async def run_cells(
    bench: Bench, args: argparse.Namespace, prompts: Sequence[tuple[int, ...]]
) -> dict[Cell, Outcome]:
    """The cells take turns, round by round."""
    capacity = await measure_capacity(bench, prompts[: args.warm_up])
    print(f"capacity: {capacity:.1f} requests a second, all at once", flush=True)
    cells = [
        Cell(protocol, sync, name, load, burst)
        for name, load, burst in (("light", args.light, 1.0), ("heavy", args.heavy, args.burst))
        for protocol, sync in itertools.product(AbortProtocol, syncs(args))
        # Of the mixed cells only the one that shows what the handshake alone brings.
        if name in args.loads
        and not (args.sparse and protocol is AbortProtocol.UNSAFE and sync is LoadSync.FULL)
    ]
    outcomes = {cell: Outcome() for cell in cells}
    size = -(-args.requests // args.rounds)
    end = time.monotonic() + args.seconds
    with Progress() as progress:
        task = progress.add_task("", total=args.requests * len(cells))
        for number in range(args.rounds):
            part = prompts[number * size : (number + 1) * size]
            order = cells if number % 2 else cells[::-1]
            for cell in order:
                progress.update(task, description=f"{cell.protocol} {cell.sync} {cell.name}")
                seed = args.seed + number
                told = lambda: progress.advance(task)  # noqa: E731
                rate = cell.load * capacity
                await run_round(bench, cell, part, rate, seed, outcomes[cell], told)
            if time.monotonic() > end:
                break
    return outcomes


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.races", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of each cell")
    parser.add_argument("--rounds", type=int, default=2, help="the cells take turns this often")
    parser.add_argument("--seconds", type=float, default=3600.0, help="no new round after this")
    parser.add_argument("--loads", nargs="+", default=["light", "heavy"])
    parser.add_argument("--light", type=float, default=0.2, help="share of the capacity")
    parser.add_argument("--heavy", type=float, default=0.9, help="share of the capacity")
    parser.add_argument("--burst", type=float, default=3.0, help="rate in bursts, heavy load")
    parser.add_argument("--budget-seconds", type=float, default=2.0, help="for a prompt")
    parser.add_argument("--warm-up", type=int, default=40, help="requests to measure capacity with")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--chunk-tokens", type=int, default=256)
    parser.add_argument("--prefill-kv-tokens", type=int, default=16_384)
    parser.add_argument("--decode-kv-tokens", type=int, default=16_384)
    parser.add_argument("--sparse", action="store_true", help="the second race too; see above")
    parser.add_argument("--index-topk", type=int, default=512, help="keys of sparse attention")
    parser.add_argument("--host-kv-tokens", type=int, default=131_072, help="prefill's host tier")
    parser.add_argument("--documents", type=int, default=0, help="texts that prompts begin with")
    parser.add_argument("--longest-prompt", type=int, default=1024, help="tokens")
    parser.add_argument("--processes", action="store_true", help="each engine in its own process")
    parser.add_argument(
        "--new-tokens", type=int, nargs="+", default=[16, 32, 64], help="of answers"
    )
    parser.add_argument("--sanitizer", choices=["record", "stop"], default="record")
    parser.add_argument("--keep-healthy", type=int, default=500, help="of each cell, in --out")
    parser.add_argument("--out", type=Path, help="corrupted and some healthy generations, JSON")
    parser.add_argument("--seed", type=int, default=1)
    add_model_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse()
    subject = load_subject(args)
    outcomes = asyncio.run(run(args, subject))
    if args.out is not None:
        with gzip.open(args.out, "wt") as file:
            file.writelines(line + "\n" for outcome in outcomes.values() for line in outcome.lines)
    found = report(outcomes, args, subject)
    others = [price_report(outcomes, args), share_report(outcomes, args)]
    publish(found, write=args.write)
    for other in others:
        publish(replace(other, name=f"{found.name}-{other.name[6:]}"), write=args.write)


if __name__ == "__main__":
    main()
