"""The pair of engines that ``benchmarks.races`` asks, in one process and on one device."""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.generations import Recorder
from benchmarks.loading import Subject
from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import layout_of
from inference_backend.disaggregation.roles import make_decode, make_prefill
from inference_backend.disaggregation.transport import LocalTransport
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest, SamplingParams
from inference_backend.engine.service import EngineService
from inference_backend.errors import BackendError
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.labels import Corruption, KvLabels
from inference_backend.kv.sanitizer import SanitizerMode

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of the experiment.

    Attributes:
        load: mean arrivals as a share of what the prefill can compute.
        burst: how much higher the rate is in bursts, which take an eighth of the time.
    """

    protocol: AbortProtocol
    sync: LoadSync
    name: str
    load: float
    burst: float


def syncs(args: argparse.Namespace) -> list[LoadSync]:
    """Without a host tier there is nothing to load."""
    return [LoadSync.KV_ONLY, LoadSync.FULL] if args.sparse else [LoadSync.FULL]


def sparse_options(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "attention": "sparse",
        "index_topk": args.index_topk,
        "host_kv_tokens": args.host_kv_tokens,
    }


class Bench:
    """A pair of engines that answer requests one protocol at a time.

    The engines stay; each round gets links of its own, so that nothing is carried over.
    """

    def __init__(self, subject: Subject, args: argparse.Namespace) -> None:
        options: dict[str, Any] = {
            "sanitizer": SanitizerMode(args.sanitizer),
            "chunk_tokens": args.chunk_tokens,
            "max_waiting": 1_000_000,
        }
        self.prefills = {
            sync: subject.engine(
                kv_tokens=args.prefill_kv_tokens,
                max_running=args.at_once,
                load_sync=sync,
                **options,
                **(sparse_options(args) if args.sparse else {}),
            )
            for sync in syncs(args)
        }
        self.decode = subject.engine(
            kv_tokens=args.decode_kv_tokens, max_running=args.at_once, **options
        )
        self.name = subject.weights.config.name
        self.budget_seconds: float = args.budget_seconds
        self._decode_text: Callable[[Sequence[int]], str] = lambda ids: str(
            subject.tokenizer.decode(list(ids), skip_special_tokens=True)
        )
        self.keep_healthy: int = args.keep_healthy
        self._numbers = iter(range(1, 10**9))

    @asynccontextmanager
    async def serving(self, cell: Cell, budget: float) -> AsyncIterator["Front"]:
        async with AsyncExitStack() as stack:
            yield await self._start(stack, cell, budget)

    async def _start(self, stack: AsyncExitStack, cell: Cell, budget: float) -> "Front":
        engines = (self.prefills[cell.sync], self.decode)
        stores = [engine.runner.store for engine in engines]
        layout = layout_of(stores[0], self.name)
        prefill = make_prefill(engines[0], LocalTransport(stores[0]), layout, 600.0)
        decode = make_decode(self.decode, LocalTransport(stores[1]), layout, cell.protocol, budget)
        services = [EngineService(engine, 10**9) for engine in engines]
        services[0].gate, services[1].gate = prefill, decode
        port = await prefill.link.start(HOST, 0)
        decode.link.start()
        for service in services:
            service.start()
            stack.callback(service.stop, 30.0)
        stack.push_async_callback(prefill.stop)
        stack.push_async_callback(decode.stop)
        return Front(services[0], services[1], (HOST, port), self.decode)

    def texts(self, recorder: Recorder, onset: int | None) -> str:
        return recorder.line(onset, self._decode_text)

    def next_number(self) -> int:
        return next(self._numbers)


@dataclass(frozen=True, slots=True)
class Front:
    """What a router does: both legs of a request."""

    prefill: EngineService
    decode: EngineService
    address: tuple[str, int]
    engine: Engine

    async def ask(
        self, number: int, prompt: tuple[int, ...], sampling: SamplingParams, about: dict[str, Any]
    ) -> tuple[Recorder, float | None, Counter[Corruption], int | None]:
        """The record, seconds to the first token, corrupted tokens by kind, where they began.

        Raises:
            BackendError: decode gave it up.
        """
        name = f"r{number}"
        leg = asyncio.ensure_future(self._compute(name, prompt, number))
        recorder, first, labels = Recorder(about), None, None
        started = time.monotonic()
        wanted = GenerationRequest(name, prompt, sampling, "", self.address, number)
        try:
            async for output in self.decode.generate(wanted):
                first = first or time.monotonic() - started
                recorder.update(output)
                labels = output.labels
        finally:
            of_prompt = await leg
        if of_prompt is not None:  # the prompt's cache was wrong: so is every token after it
            return recorder, first, Counter(of_prompt.tokens), 0
        if labels is None:
            return recorder, first, Counter(), None
        return recorder, first, Counter(labels.tokens), labels.first_token

    async def _compute(self, name: str, prompt: tuple[int, ...], room: int) -> KvLabels | None:
        """The prefill's leg. It is not told when decode gives up: that is the protocol's matter."""
        sampling = SamplingParams(max_new_tokens=1, temperature=0.0, ignore_eos=True)
        wanted = GenerationRequest(name, prompt, sampling, "", None, room)
        labels = None
        try:
            async for output in self.prefill.generate(wanted):
                labels = output.labels
        except BackendError:
            pass
        return labels
