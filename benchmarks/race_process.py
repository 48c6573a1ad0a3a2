"""A side of the pair in a process of its own: two engines in one process share one Python lock.

The parent asks over a pipe, request by request, and gets the engine's own outputs; pages go from
process to process over the transport ``shared``.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.loading import Subject, load_subject
from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import layout_of
from inference_backend.disaggregation.roles import (
    DecodeRole,
    PrefillRole,
    make_decode,
    make_prefill,
)
from inference_backend.disaggregation.shared import SharedTransport
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest, StepOutput
from inference_backend.engine.service import EngineService
from inference_backend.errors import BackendError

HOST = "127.0.0.1"
PROCESSES = multiprocessing.get_context("spawn")  # CUDA cannot be used after a fork


@dataclass(frozen=True, slots=True)
class Serve:
    """Order to a side: links of its own for a round. Answered by its port (0: it has none)."""

    role: str
    protocol: AbortProtocol
    engine: str
    budget_seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, with a number for the answers."""

    number: int
    request: GenerationRequest


STOP = "stop"  # the round is over; answered by the number of retired pages


class _Side:
    """In the side's own process."""

    def __init__(
        self, connection: Connection, subject: Subject, options: dict[str, dict[str, Any]]
    ) -> None:
        self._connection = connection
        self._engines = {name: subject.engine(**each) for name, each in options.items()}
        self._transports = {
            name: SharedTransport(engine.runner.store) for name, engine in self._engines.items()
        }
        self._name = subject.weights.config.name
        self._service: EngineService | None = None
        self._role: PrefillRole | DecodeRole | None = None
        self._engine: Engine | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the parent closes the pipe."""
        loop = asyncio.get_running_loop()
        orders: asyncio.Queue[Any] = asyncio.Queue()
        reader = threading.Thread(target=self._read, args=(loop, orders), daemon=True)
        reader.start()
        drafts = {name: engine.runner.num_drafts for name, engine in self._engines.items()}
        self._connection.send(drafts)
        while (order := await orders.get()) is not None:
            if isinstance(order, Ask):
                task = asyncio.ensure_future(self._answer(order))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif isinstance(order, Serve):
                self._connection.send((None, await self._serve(order)))
            else:
                self._connection.send((None, await self._stop()))

    def _read(self, loop: asyncio.AbstractEventLoop, orders: "asyncio.Queue[Any]") -> None:
        try:
            while True:
                loop.call_soon_threadsafe(orders.put_nowait, self._connection.recv())
        except (EOFError, OSError):
            loop.call_soon_threadsafe(orders.put_nowait, None)

    async def _serve(self, order: Serve) -> int:
        engine, transport = self._engines[order.engine], self._transports[order.engine]
        layout = layout_of(engine.runner.store, self._name)
        port = 0
        if order.role == "prefill":
            role: PrefillRole | DecodeRole = make_prefill(engine, transport, layout, 600.0)
            assert isinstance(role, PrefillRole)
            port = await role.link.start(HOST, 0)
        else:
            role = make_decode(engine, transport, layout, order.protocol, order.budget_seconds)
            assert isinstance(role, DecodeRole)
            role.link.start()
        self._engine, self._role = engine, role
        self._service = EngineService(engine, 10**9)
        self._service.gate = role
        self._service.start()
        return port

    async def _stop(self) -> int:
        assert self._role is not None
        assert self._service is not None
        assert self._engine is not None
        await asyncio.gather(*self._tasks)
        await self._role.stop()
        self._service.stop(30.0)
        return self._engine.scheduler.cache.pool.num_retired

    async def _answer(self, ask: Ask) -> None:
        """Every output, then why there are no more."""
        assert self._service is not None
        end: BackendError | None = None
        try:
            async for output in self._service.generate(ask.request):
                self._connection.send((ask.number, output))
        except BackendError as error:
            end = error
        self._connection.send((ask.number, end))


def run_side(
    connection: Connection, args: argparse.Namespace, options: dict[str, dict[str, Any]]
) -> None:
    """The process's whole life."""
    side = _Side(connection, load_subject(args), options)
    asyncio.run(side.run())


class RemoteSide:
    """The parent's end: asks as ``EngineService`` is asked."""

    def __init__(self, args: argparse.Namespace, options: dict[str, dict[str, Any]]) -> None:
        self._connection, there = PROCESSES.Pipe()
        self._process = PROCESSES.Process(
            target=run_side, args=(there, args, options), daemon=True, name="races-side"
        )
        self._process.start()
        there.close()
        self._numbers = itertools.count()
        self._queues: dict[int | None, asyncio.Queue[StepOutput | BackendError | int | None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.num_drafts: dict[str, int] = {}

    def wait(self) -> None:
        """Until its engines are there. Raises ``EOFError`` if it ends instead."""
        self.num_drafts = self._connection.recv()

    def begin(self) -> None:
        """In the running loop: answers come from here on."""
        self._loop = asyncio.get_running_loop()
        self._queues[None] = asyncio.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._loop is not None
        try:
            while True:
                number, value = self._connection.recv()
                self._loop.call_soon_threadsafe(self._queues[number].put_nowait, value)
        except (EOFError, OSError, RuntimeError):  # it ended, or the loop did
            return

    async def order(self, order: Serve | str) -> int:
        """What it answers: see the orders."""
        self._connection.send(order)
        value = await self._queues[None].get()
        assert isinstance(value, int)
        return value

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[StepOutput, None]:
        """Raises ``BackendError``, as the engine did there."""
        number = next(self._numbers)
        queue = self._queues[number] = asyncio.Queue()
        self._connection.send(Ask(number, request))
        while isinstance(value := await queue.get(), StepOutput):
            yield value
        del self._queues[number]
        if isinstance(value, BackendError):
            raise value

    def close(self) -> None:
        """The process ends with its pipe."""
        self._connection.close()
        self._process.join(30.0)
        if self._process.is_alive():
            self._process.kill()
