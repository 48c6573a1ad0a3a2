"""Prefill and decode replicas as processes that can be killed, and what is asked of them."""

import asyncio
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from inference_backend.disaggregation.__main__ import free_ports
from inference_backend.server.options import BackendOptions
from tests.fakes import role_process

# Importing takes seconds of processor time; processes that are forked from one that has are there
# at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([role_process.__name__])
HOST = "127.0.0.1"
PATIENCE_SECONDS = 120.0
ROOMS = itertools.count(1000)
BUDGET_SECONDS = 4.0
"""What decode gives a prompt; the slow prefill's writes for the long prompts here take longer."""


@dataclass
class Replica:
    """One process, at the same ports whenever it is started again."""

    role: str
    port: int
    bootstrap_port: int
    write_seconds: float = 0.0
    transport: str = "mooncake"
    process: ForkServerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def start(self) -> None:
        options = BackendOptions(
            role=self.role,
            transport=self.transport,
            port=self.port,
            bootstrap_port=self.bootstrap_port,
            prefill_budget_seconds=BUDGET_SECONDS,
            bootstrap_seconds=10.0,
            log_level="warning",
            shutdown_seconds=1.0,
        )
        self.process = PROCESSES.Process(
            target=role_process.run, args=(options, self.write_seconds), daemon=True
        )
        self.process.start()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.join()


@dataclass
class Fleet:
    """Both prefills write slowly on demand: ``slow`` does, ``quick`` does not."""

    slow: Replica
    quick: Replica
    decode: Replica
    other: Replica
    client: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(timeout=PATIENCE_SECONDS)
    )

    @property
    def replicas(self) -> list[Replica]:
        return [self.slow, self.quick, self.decode, self.other]

    async def start(self) -> None:
        """Starts those that do not run, and waits until all answer."""
        await self.start_only(self.replicas)

    async def start_only(self, replicas: Sequence[Replica]) -> None:
        for replica in replicas:
            if not replica.is_running:
                replica.start()
        for replica in replicas:
            await wait_until(lambda replica=replica: self.is_ready(replica))

    async def stop(self) -> None:
        for replica in self.replicas:
            if replica.is_running:
                replica.kill()
        await self.client.aclose()

    async def is_ready(self, replica: Replica) -> bool:
        assert replica.is_running, f"{replica.role} ended by itself"
        try:
            return (await self.client.get(replica.url + "/health")).status_code == 200
        except httpx.TransportError:
            return False

    async def ask(
        self, prefill: Replica, decode: Replica, prompt: Sequence[int], new_tokens: int = 16
    ) -> list[int] | str:
        """Both legs, as the router sends them: the answer's tokens, or why there is none."""
        body: dict[str, Any] = {
            "input_ids": list(prompt),
            "sampling_params": {
                "max_new_tokens": new_tokens,
                "temperature": 0.0,
                "ignore_eos": True,
            },
            "bootstrap_host": HOST,
            "bootstrap_port": prefill.bootstrap_port,
            "bootstrap_room": next(ROOMS),
        }
        leg = asyncio.ensure_future(self.client.post(prefill.url + "/generate", json=body))
        try:
            response = await self.client.post(decode.url + "/generate", json=body)
            answer = response.json()
            if response.status_code == 200:
                return [int(token) for token in answer["output_ids"]]
            return str(answer["error"]["message"])
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"
        finally:
            leg.cancel()
            await asyncio.gather(leg, return_exceptions=True)

    async def numbers(self, replica: Replica) -> dict[str, float]:
        """Metrics by name, without ``specwatch_engine_``, summed over labels."""
        text = (await self.client.get(replica.url + "/metrics")).text
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("specwatch_engine_")
                found[name] = found.get(name, 0.0) + sample.value
        return found

    async def accounted(self, replica: Replica) -> bool:
        """Every page is free, cached or retired: nobody holds one."""
        now = await self.numbers(replica)
        parts = ("free_pages", "cached_pages", "retired_pages")
        return sum(now[part] for part in parts) == now["pages"]


async def wait_until(is_true: Any, seconds: float = PATIENCE_SECONDS) -> float:
    """Seconds until an asynchronous condition held."""
    started = time.monotonic()
    while not await is_true():
        assert time.monotonic() - started < seconds, "it did not happen"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def make_fleet(write_seconds: float, transport: str = "mooncake") -> Fleet:
    ports = iter(free_ports(8))

    def replica(role: str, seconds: float = 0.0) -> Replica:
        return Replica(role, next(ports), next(ports), seconds, transport)

    return Fleet(
        replica("prefill", write_seconds),
        replica("prefill"),
        replica("decode"),
        replica("decode"),
    )
