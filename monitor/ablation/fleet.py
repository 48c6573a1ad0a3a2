"""The engine of one cell: its command line, its start and its end."""

import os
import random
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from monitor.ablation.errors import FleetFailed
from monitor.ablation.grid import Cell
from monitor.demo.process import Command, Stack
from monitor.errors import DemoFailed

HOST = "127.0.0.1"
_PORTS = range(30100, 31000)  # below those that the launcher gives its replicas
_END_SECONDS = 10.0

Launch = Callable[[Cell, int], list[str]]
"""The command that serves a cell on a port."""


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """See ``specwatch ablate --help``."""

    model: str | None = None
    device: str = "auto"
    threads: int | None = None
    budget_seconds: float = 2.0
    prefill_kv_tokens: int = 4096
    decode_kv_tokens: int = 4096
    host_kv_tokens: int = 16_384
    index_topk: int = 64
    flags: tuple[str, ...] = ()

    def launch(self, cell: Cell, port: int) -> list[str]:
        """The integrated engine: prefills, decodes and their router.

        Host memory and sparse attention, without which ``load_sync`` means nothing, are the
        prefill's: decode receives keys and values without the indexer's cache.
        """
        ratio = cell.ratio
        replicas = ratio.prefills + ratio.decodes
        threads = self.threads or max(1, (os.cpu_count() or 1) // replicas)
        model = () if self.model is None else ("--model", self.model)
        return [
            *(sys.executable, "-m", "inference_backend.disaggregation"),
            *("--prefill", str(ratio.prefills), "--decode", str(ratio.decodes)),
            *("--port", str(port)),
            "--prefill-flag=--attention=sparse",
            f"--prefill-flag=--index-topk={self.index_topk}",
            f"--prefill-flag=--load-sync={cell.sync}",
            f"--prefill-flag=--host-kv-tokens={self.host_kv_tokens}",
            f"--prefill-flag=--kv-tokens={self.prefill_kv_tokens}",
            f"--decode-flag=--abort-protocol={cell.protocol}",
            f"--decode-flag=--prefill-budget-seconds={self.budget_seconds:g}",
            f"--decode-flag=--kv-tokens={self.decode_kv_tokens}",
            *("--", "--kv-sanitizer", "record", "--device", self.device),
            *("--threads", str(threads), "--shutdown-seconds", "1", *model, *self.flags),
        ]


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running one."""

    address: str
    command: Command
    stack: Stack

    def check(self) -> None:
        """Raises ``FleetFailed`` if it has ended."""
        try:
            self.stack.check(self.command)
        except DemoFailed as error:
            raise FleetFailed(str(error)) from error


@asynccontextmanager
async def started(
    cell: Cell, launch: Launch, timeout_seconds: float, tell: Callable[[str], None]
) -> AsyncIterator[Fleet]:
    """The fleet of a cell, ready; all its processes have ended afterwards, whatever happened.

    Args:
        tell: hears the newest line of its log while it starts.

    Raises:
        FleetFailed: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="specwatch-ablate-") as folder:
        address = f"http://{HOST}:{(port := free_port())}"
        command = Command(
            f"the engine of {cell}", launch(cell, port), f"{address}/health", Path(folder, "log")
        )
        async with Stack(_END_SECONDS) as stack, aiohttp.ClientSession() as session:
            try:
                await stack.start(command)
                await stack.wait_ready(command, session, timeout_seconds, tell)
            except (DemoFailed, OSError) as error:
                raise FleetFailed(str(error)) from error
            yield Fleet(address, command, stack)


def free_port() -> int:
    """One that is free now, below the range that connections take theirs from.

    Any of them: two runs on one machine that both took the first met on it.

    Raises:
        FleetFailed: there is none.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise FleetFailed(f"no free port from {_PORTS.start} to {_PORTS.stop - 1}")
