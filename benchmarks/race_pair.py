"""The pair of engines that ``benchmarks.races`` asks, on one device, in one process or in two."""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.generations import Recorder
from benchmarks.loading import Subject
from benchmarks.race_process import HOST, STOP, RemoteSide, Serve
from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import layout_of
from inference_backend.disaggregation.roles import make_decode, make_prefill
from inference_backend.disaggregation.transport import LocalTransport
from inference_backend.engine.request import GenerationRequest, SamplingParams, StepOutput
from inference_backend.engine.service import EngineService
from inference_backend.errors import BackendError
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.labels import Corruption, KvLabels
from inference_backend.kv.sanitizer import SanitizerMode


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


DECODE = "decode"


def prefill_name(sync: LoadSync) -> str:
    return f"prefill, {sync}"


def engine_options(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Of every engine: the decode's, and a prefill's for each way to load."""
    shared: dict[str, Any] = {
        "sanitizer": SanitizerMode(args.sanitizer),
        "chunk_tokens": args.chunk_tokens,
        "max_waiting": 1_000_000,
        "max_running": args.at_once,
    }
    prefill = shared | {"kv_tokens": args.prefill_kv_tokens}
    if args.sparse:
        prefill |= sparse_options(args)
    return {
        DECODE: shared | {"kv_tokens": args.decode_kv_tokens},
        **{prefill_name(sync): prefill | {"load_sync": sync} for sync in syncs(args)},
    }


class Bench:
    """What asks a pair of engines, one protocol at a time.

    The engines stay; each round gets links of its own, so that nothing is carried over.
    """

    def __init__(self, subject: Subject, args: argparse.Namespace) -> None:
        self.name = subject.weights.config.name
        self.budget_seconds: float = args.budget_seconds
        self._decode_text: Callable[[Sequence[int]], str] = lambda ids: str(
            subject.tokenizer.decode(list(ids), skip_special_tokens=True)
        )
        self.keep_healthy: int = args.keep_healthy
        self.new_tokens: list[int] = args.new_tokens
        self._numbers = iter(range(1, 10**9))
        self.num_drafts = 0
        self.retired = 0

    @asynccontextmanager
    async def serving(self, cell: Cell, budget: float) -> AsyncIterator["Front"]:
        """A round; ``retired`` counts the pages that all rounds so far retired."""
        async with AsyncExitStack() as stack:
            yield await self._start(stack, cell, budget)

    async def _start(self, stack: AsyncExitStack, cell: Cell, budget: float) -> "Front":
        raise NotImplementedError

    def close(self) -> None:
        """Ends what it started."""

    def texts(self, recorder: Recorder, onset: int | None) -> str:
        return recorder.line(onset, self._decode_text)

    def next_number(self) -> int:
        return next(self._numbers)


class LocalBench(Bench):
    """Both engines in this process."""

    def __init__(self, subject: Subject, args: argparse.Namespace) -> None:
        super().__init__(subject, args)
        options = engine_options(args)
        self.prefills = {
            sync: subject.engine(**options[prefill_name(sync)]) for sync in syncs(args)
        }
        self.decode = subject.engine(**options[DECODE])
        self.num_drafts = self.decode.runner.num_drafts

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
        stack.callback(self._count_retired)
        return Front(services[0], services[1], (HOST, port))

    def _count_retired(self) -> None:
        self.retired = self.decode.scheduler.cache.pool.num_retired


class ProcessBench(Bench):
    """Each engine's side in a process of its own, on the same device."""

    def __init__(self, subject: Subject, args: argparse.Namespace) -> None:
        super().__init__(subject, args)
        options = engine_options(args)
        decode = {DECODE: options.pop(DECODE)}
        self._prefill, self._decode = RemoteSide(args, options), RemoteSide(args, decode)
        for side in (self._prefill, self._decode):
            side.wait()
        self.num_drafts = self._decode.num_drafts[DECODE]
        self._has_begun = False

    async def _start(self, stack: AsyncExitStack, cell: Cell, budget: float) -> "Front":
        if not self._has_begun:
            self._prefill.begin()
            self._decode.begin()
            self._has_begun = True
        name = prefill_name(cell.sync)
        port = await self._prefill.order(Serve("prefill", cell.protocol, name, budget))
        stack.push_async_callback(self._prefill.order, STOP)
        await self._decode.order(Serve("decode", cell.protocol, DECODE, budget))
        stack.push_async_callback(self._stop_decode)
        return Front(self._prefill, self._decode, (HOST, port))

    async def _stop_decode(self) -> None:
        self.retired = await self._decode.order(STOP)

    def close(self) -> None:
        self._prefill.close()
        self._decode.close()


class Asked(Protocol):
    """An engine's service, here or in another process."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[StepOutput, None]: ...


@dataclass(frozen=True, slots=True)
class Front:
    """What a router does: both legs of a request."""

    prefill: Asked
    decode: Asked
    address: tuple[str, int]

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
