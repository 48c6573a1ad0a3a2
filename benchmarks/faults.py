"""The fault matrix: which answers survive a faulty replica, behind this proxy and behind others.

Two replicas that speak as vLLM does, one of them faulty, and 20 streamed chats at once through
each proxy in turn. A cell counts the complete clean answers (exactly the right text, one finish
reason, one [DONE], within 5 s) and the bad tokens that reached a client. Proxies are real
processes, fresh for every cell. No GPU and no model is needed; it takes about four minutes.

  python -m benchmarks.faults                       what is installed, all faults
  python -m benchmarks.faults --only specwatch      no peers
  python -m benchmarks.faults --smg PATH --envoy PATH --write
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.progress import Progress

from benchmarks.fault_client import MAX_TOKENS, TIMEOUT_SECONDS, Judged, ask
from benchmarks.fault_process import free_port, running
from benchmarks.fault_proxies import (
    Proxy,
    Setting,
    envoy,
    haproxy,
    nginx,
    smg,
    specwatch,
)
from benchmarks.fault_replica import NAMES, SICK_TEXT, TOKEN_SECONDS, TOKENS, Fault, Replica
from benchmarks.results import Report, publish

FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)
_READY_SECONDS = 30.0


class NotReady(Exception):
    """A proxy does not serve both replicas while they are healthy."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault behind one proxy.

    Attributes:
        faulty_requests: how many reached the faulty replica; ``None`` if it refuses connections.
    """

    fault: Fault
    proxy: str
    answers: Sequence[Judged]
    faulty_requests: int | None
    seconds: float

    @property
    def clean(self) -> int:
        return sum(not answer.problem for answer in self.answers)

    @property
    def bad_tokens(self) -> int:
        return sum(answer.bad_tokens for answer in self.answers)

    @property
    def problems(self) -> Counter[str]:
        return Counter(answer.problem for answer in self.answers if answer.problem)

    @property
    def is_as_promised(self) -> bool:
        """All clean behind specwatch; ``adaptive`` does not promise it where the text is sick.

        It lets text go until a detector's watch level: the first sick tokens are out by then.
        """
        is_open = "adaptive" in self.proxy and self.fault in SICK_TEXT
        return is_open or "specwatch" not in self.proxy or self.clean == len(self.answers)

    @property
    def text(self) -> str:
        return f"{self.clean}, {self.bad_tokens:,} bad" if self.bad_tokens else str(self.clean)


async def measure(fault: Fault, proxy: Proxy) -> Cell:
    """Fresh replicas, a fresh proxy, healthy chats until it is ready, then the fault."""
    async with Replica() as faulty, Replica() as healthy:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(free_port(), free_port(), (faulty.port, healthy.port), Path(folder))
            async with running(proxy, setting) as process:
                address = f"http://127.0.0.1:{setting.port}"
                try:
                    await wait_ready(address, (faulty, healthy))
                except NotReady as error:
                    printed = (setting.folder / "output").read_text(errors="replace")
                    message = f"{proxy.name}: {error} (exit {process.poll()})\n{printed[-2000:]}"
                    raise NotReady(message) from error
                await faulty.fall_sick(fault)
                began = time.monotonic()
                answers = await ask_all(address)
                seconds = time.monotonic() - began
    reached = None if fault is Fault.REFUSED else faulty.requests
    return Cell(fault, proxy.name, answers, reached, seconds)


async def ask_all(address: str, count: int = len(NAMES)) -> list[Judged]:
    """So many different chats at once."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return await asyncio.gather(*(ask(session, address, name) for name in NAMES[:count]))


async def wait_ready(address: str, replicas: Sequence[Replica]) -> None:
    """Returns once four chats at once are answered, with a share of every replica."""
    problem = ""
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        for replica in replicas:
            replica.requests = 0
        answers = await ask_all(address, 4)
        problem = next((answer.problem for answer in answers if answer.problem), "")
        if not problem and all(replica.requests for replica in replicas):
            return
        await asyncio.sleep(0.1)
    raise NotReady(f"not ready after {_READY_SECONDS:.0f} s: {problem or 'one replica is idle'}")


async def run_all(faults: Sequence[Fault], proxies: Sequence[Proxy]) -> list[Cell]:
    """One cell after the other, so that they do not disturb each other."""
    cells = []
    with Progress() as progress:
        task = progress.add_task("cells", total=len(faults) * len(proxies))
        for fault in faults:
            for proxy in proxies:
                progress.update(task, description=f"{fault.value}: {proxy.name}")
                cells.append(await measure(fault, proxy))
                progress.advance(task)
    return cells


def build_report(
    cells: Sequence[Cell], proxies: Sequence[Proxy], left_out: Sequence[str]
) -> Report:
    """A row for each fault, a column for each proxy."""
    found = {(cell.fault, cell.proxy): cell for cell in cells}
    faults = [fault for fault in FAULTS if any(cell.fault is fault for cell in cells)]
    rows = [[fault.value, *(found[fault, each.name].text for each in proxies)] for fault in faults]
    return Report(
        name="faults",
        title=f"Complete clean answers of {len(NAMES)}, one of two replicas faulty",
        device="cpu",
        columns=["fault", *(proxy.name for proxy in proxies)],
        rows=rows,
        notes=notes_of(cells, proxies, left_out),
        raw={"cells": [raw_of(cell) for cell in cells]},
    )


def notes_of(cells: Sequence[Cell], proxies: Sequence[Proxy], left_out: Sequence[str]) -> list[str]:
    """How to read it, how each was configured, what was left out, how answers failed."""
    notes = [
        f"A cell is the number of complete clean answers out of {len(NAMES)} streamed chats sent at"
        f" once ({TOKENS} tokens each, one in {TOKEN_SECONDS * 1000:.0f} ms, max_tokens"
        f" {MAX_TOKENS}, client timeout {TIMEOUT_SECONDS:.0f} s), and behind it the bad tokens that"
        " reached clients, if any did (words that are no part of the right answer, and events that"
        " are no JSON).",
        "The replicas are scripted: they speak as vLLM without speculation, so the text alone"
        " betrays a sick answer. Cuts and stalls before the first token come after status 200."
        " A loop and garbage run on to max_tokens.",
        "The faulty replica is healthy until the proxy has served both, and its health check never"
        " tells. Every cell has a fresh proxy, and no proxy may take a replica out for its"
        " failures: what is measured is the retry (but specwatch leaves a replica that refused a"
        " connection alone until a probe is answered).",
        "`adaptive` lets text go until a detector's watch level, which costs a healthy answer"
        " nothing: the first tokens of sick text are out by then and cannot be taken back."
        " `buffer 64` always holds the last 64 tokens, `buffer` all of them.",
    ]
    notes += [f"{each.name} ({each.version_text()}): {each.configured}." for each in proxies]
    notes += [f"Left out, not installed: {name}." for name in left_out]
    return notes + [failure_note(proxy, cells) for proxy in proxies]


def failure_note(proxy: Proxy, cells: Sequence[Cell]) -> str:
    """How the answers behind one proxy failed."""
    told = [
        f"{cell.fault.value}: {', '.join(f'{n} {what}' for what, n in cell.problems.items())}"
        for cell in cells
        if cell.proxy == proxy.name and cell.problems
    ]
    return f"{proxy.name}, what failed: {'; '.join(told) or 'nothing'}."


def raw_of(cell: Cell) -> dict[str, object]:
    return {
        "fault": cell.fault.value,
        "proxy": cell.proxy,
        "clean": cell.clean,
        "bad_tokens": cell.bad_tokens,
        "requests_to_the_faulty_replica": cell.faulty_requests,
        "seconds": round(cell.seconds, 2),
        "problems": cell.problems,
        "bad_tokens_of_each": " ".join(str(answer.bad_tokens) for answer in cell.answers),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="proxies with this in the name")
    parser.add_argument("--fault", metavar="TEXT", default="", help="faults with this in the name")
    for peer in ("smg", "envoy", "haproxy", "nginx"):
        parser.add_argument(f"--{peer}", metavar="PATH", default=peer, help="if not on the PATH")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/faults-*")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Proxy]:
    proxies = [
        specwatch("adaptive", release="adaptive"),
        specwatch("buffer 64", release="buffer", max_held_tokens=64),
        specwatch("buffer", release="buffer"),
        smg(options.smg),
        envoy(options.envoy),
        haproxy(options.haproxy),
        nginx(options.nginx),
    ]
    return [proxy for proxy in proxies if options.only.lower() in proxy.name.lower()]


def main() -> int:
    """Fails if specwatch broke a promise."""
    options = parse()
    wanted = chosen(options)
    proxies = [proxy for proxy in wanted if proxy.is_installed]
    left_out = [proxy.name for proxy in wanted if not proxy.is_installed]
    faults = [fault for fault in FAULTS if options.fault.lower() in fault.value.lower()]
    cells = asyncio.run(run_all(faults, proxies))
    publish(build_report(cells, proxies, left_out), write=options.write)
    return 0 if all(cell.is_as_promised for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
