"""What ``benchmarks.races`` measured in a cell, and its tables."""

import argparse
import statistics
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.loading import Subject
from benchmarks.race_pair import Cell, syncs
from benchmarks.race_tables import PRICE_COLUMNS, SHARE_COLUMNS, Pace, price_row, share_rows
from benchmarks.results import Report
from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.labels import Corruption
from monitor.interval import clopper_pearson

QUANTILES = (0.5, 0.99)


@dataclass(slots=True)
class Outcome:
    """What one cell gave, over all its rounds."""

    requests: int = 0
    given_up: int = 0
    retired: int = 0
    tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: list[float] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)
    corrupted: dict[str, Counter[Corruption]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def row(self, cell: Cell) -> list[str]:
        kinds = Counter(first_kind(kinds) for kinds in self.corrupted.values())
        low, high = clopper_pearson(len(self.corrupted), self.requests)
        rate = 1e4 * len(self.corrupted) / max(1, self.requests)
        ordered = sorted(self.first_token_seconds)
        p50, p99 = (ordered[int(q * (len(ordered) - 1))] * 1e3 for q in QUANTILES)
        return [
            cell.protocol.value,
            cell.sync.value,
            cell.name,
            f"{self.requests:,}",
            f"{self.given_up:,}",
            f"{len(self.corrupted)}",
            f"{rate:.1f} ({1e4 * low:.1f} to {1e4 * high:.1f})",
            ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "none",
            f"{p50:.0f} / {p99:.0f}",
            f"{self.tokens / self.seconds:,.0f}",
            f"{self.retired}",
        ]


COLUMNS = (
    "abort protocol",
    "load sync",
    "load",
    "requests",
    "given up",
    "corrupted",
    "per 10,000 (95 %)",
    "kinds",
    "first token p50 / p99, ms",
    "tokens/s",
    "pages retired",
)


def first_kind(kinds: Counter[Corruption]) -> str:
    return next(kind.value for kind in Corruption if kinds[kind])


def price_report(outcomes: dict[Cell, Outcome], args: argparse.Namespace) -> Report:
    """The cured cell of each load against the one as shipped."""
    by_name = {(cell.name, cell.protocol, cell.sync): each for cell, each in outcomes.items()}
    shipped = AbortProtocol.UNSAFE, syncs(args)[0]
    cured = AbortProtocol.CONFIRM, LoadSync.FULL
    return Report(
        name="races-price",
        title="What the cures cost",
        device=args.device,
        columns=PRICE_COLUMNS,
        rows=[
            price_row(name, by_name[name, *shipped].paces, by_name[name, *cured].paces)
            for name in args.loads
        ],
        notes=[
            "Ratios: of the two cells in the same round; median, lowest and highest round.",
            "Few rounds, or other work on the machine, and these ratios say little: see their "
            "spread.",
        ],
    )


def share_report(outcomes: dict[Cell, Outcome], args: argparse.Namespace) -> Report:
    """Of all cells together."""
    return Report(
        name="races-detectors",
        title="What the default panel finds of what the sanitizer labels",
        device=args.device,
        columns=SHARE_COLUMNS,
        rows=share_rows(line for outcome in outcomes.values() for line in outcome.lines),
        notes=[
            "Streams go on after a finding. Nothing wrong: a sample of the healthy generations; "
            "onset and delay do not apply, and what is found there are the model's own loops.",
            f"Answers have {args.new_tokens} tokens: most damage has few tokens to show itself in.",
        ],
    )


def report(outcomes: dict[Cell, Outcome], args: argparse.Namespace, subject: Subject) -> Report:
    return Report(
        name="races"
        + ("-sparse" if args.sparse else "")
        + ("-processes" if args.processes else ""),
        title=f"Corrupted generations by abort protocol and load, {subject.weights.config.name}",
        device=args.device,
        columns=COLUMNS,
        rows=[outcome.row(cell) for cell, outcome in outcomes.items()],
        notes=[
            "Counted by the KV sanitizer: generations with a token that was computed from pages "
            "which were not what the engine meant to read.",
            f"One prefill and one decode engine in {'two processes' if args.processes else 'one'}; "
            f"budget {args.budget_seconds:g} s a "
            f"prompt; KV {args.prefill_kv_tokens:,} and {args.decode_kv_tokens:,} tokens; at most "
            f"{args.at_once} sequences a batch.",
            f"Open loop: light is {args.light:.0%} of the capacity, Poisson; heavy is "
            f"{args.heavy:.0%} with bursts of {args.burst:g} times the rate an eighth of the time.",
            "Given up: the prefill was later than the budget; the client gets a 503.",
        ],
        raw={
            f"{cell.protocol} {cell.sync} {cell.name}": {
                "corrupted": {name: dict(kinds) for name, kinds in outcome.corrupted.items()},
                "first_token_ms": [
                    round(1e3 * q, 2)
                    for q in statistics.quantiles(outcome.first_token_seconds, n=100)
                ],
                "seconds": outcome.seconds,
            }
            for cell, outcome in outcomes.items()
        },
    )
