"""20,000 requests made up from the API's schema, right and wrong: what was answered, and how."""

import argparse
import time
from collections import Counter

from benchmarks.results import Report, publish
from tests.retry_proxy.fuzz.driver import Outcome, fuzz
from tests.retry_proxy.fuzz.schema import BODIES
from tests.retry_proxy.fuzz.serving import everything

COLUMNS = ("operation", "cases", "reached a replica", "answered with")


def report(outcome: Outcome, reached: Counter[str], seconds: float, seed: int) -> Report:
    by_operation: dict[str, Counter[int]] = {}
    for (label, status), count in outcome.answers.items():
        by_operation.setdefault(label, Counter())[status] += count
    rows = [
        [
            label,
            f"{told.total():,}",
            f"{reached[label.split(' ')[1]]:,}" if label.split(" ")[1] in BODIES else "",
            ", ".join(f"{each}: {told[each]:,}" for each in sorted(told)),
        ]
        for label, told in sorted(by_operation.items())
    ]
    notes = [
        f"{outcome.cases:,} requests in {seconds:.0f} s over a real socket, seed {seed}.",
        "Wrong is a 5xx that is none of ours, no JSON where JSON was said, an error without the "
        f"error's form, an event cut off: {len(outcome.failures)} answers.",
        f"Two replicas behind stream recordings, whatever they are asked; {reached.total():,} "
        "requests reached one. The others are answered by the proxy: its own routes, and what is "
        "no JSON or no such request.",
    ]
    return Report(
        name="fuzz",
        title="Requests made up by schemathesis",
        device="cpu",
        columns=COLUMNS,
        rows=rows,
        notes=notes,
        raw={"failures": outcome.failures},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    began = time.monotonic()
    with everything() as served:
        outcome = fuzz(served.address, served.schema, cases=options.cases, seed=options.seed)
    seconds = time.monotonic() - began
    publish(report(outcome, served.reached, seconds, options.seed), write=options.write)
    if outcome.failures:
        raise SystemExit("\n".join(f"{what}\n  {how}" for what, how in outcome.failures.items()))


if __name__ == "__main__":
    main()
