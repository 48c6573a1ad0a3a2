"""A prefill and a decode engine of the tiny model, each with its thread, and their connection."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import Layout, layout_of
from inference_backend.disaggregation.roles import (
    DecodeRole,
    PrefillRole,
    make_decode,
    make_prefill,
)
from inference_backend.disaggregation.transport import LocalTransport, Transport
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import SamplingParams, StepOutput
from inference_backend.engine.service import EngineService
from inference_backend.errors import BackendError
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.kv.store import KvStore
from tests.fakes.engine_runs import check_pages, request
from tests.fakes.tiny_model import tiny_engine

MakeTransport = Callable[[KvStore], Transport]
ROOMS = itertools.count(1)


@dataclass
class Pair:
    """Both sides, and how to ask them for something."""

    prefill: Engine
    decode: Engine
    prefill_service: EngineService
    decode_service: EngineService
    prefill_role: PrefillRole
    decode_role: DecodeRole
    address: tuple[str, int]

    async def answer(
        self, name: str, prompt: Sequence[int], new_tokens: int = 24, *, salt: str = ""
    ) -> list[int]:
        """Both legs, as a router sends them.

        Raises:
            BackendError: what decode answered.
        """
        room = next(ROOMS)
        leg = asyncio.ensure_future(self.compute(name, prompt, room, salt=salt))
        try:
            return await self.decoded(name, prompt, room, new_tokens, salt=salt)
        finally:
            leg.cancel()
            await asyncio.gather(leg, return_exceptions=True)

    async def compute(self, name: str, prompt: Sequence[int], room: int, *, salt: str = "") -> None:
        """The prefill's leg alone."""
        wanted = replace(request(name, prompt, 1, salt=salt), room=room)
        async for _ in self.prefill_service.generate(wanted):
            pass

    async def decoded(
        self,
        name: str,
        prompt: Sequence[int],
        room: int,
        new_tokens: int = 24,
        *,
        salt: str = "",
    ) -> list[int]:
        """The decode's leg alone."""
        return [
            token
            async for output in self.outputs(name, prompt, room, new_tokens, salt=salt)
            for token in output.token_ids
        ]

    def outputs(
        self, name: str, prompt: Sequence[int], room: int, new_tokens: int, *, salt: str = ""
    ) -> AsyncIterator[StepOutput]:
        params = SamplingParams(max_new_tokens=new_tokens, temperature=0.0, ignore_eos=True)
        wanted = replace(
            request(name, prompt, new_tokens, salt=salt),
            sampling=params,
            prefill=self.address,
            room=room,
        )
        return self.decode_service.generate(wanted)

    async def settle(self) -> None:
        """Waits until nothing is lent or under way, and checks the pages of both sides."""
        async with asyncio.timeout(10):
            while self._is_busy():  # noqa: ASYNC110  # threads are waited for, not tasks
                await asyncio.sleep(0.005)
        self.stop()
        for engine in (self.prefill, self.decode):
            engine.mailbox.run()
        check_pages(self.prefill)
        pool = self.decode.scheduler.cache.pool
        pool.check_integrity()
        assert pool.num_available + pool.num_retired == pool.num_pages

    def _is_busy(self) -> bool:
        engines = (self.prefill, self.decode)
        if len(self.decode_role.receiver) or len(self.prefill_role.sender):
            return True
        return any(engine.has_work or len(engine.mailbox) for engine in engines)

    def stop(self) -> None:
        for service in (self.prefill_service, self.decode_service):
            if service.is_alive:
                service.stop(5.0)


@asynccontextmanager
async def make_pair(
    protocol: AbortProtocol = AbortProtocol.CONFIRM,
    *,
    budget_seconds: float = 10.0,
    sanitizer: SanitizerMode = SanitizerMode.RECORD,
    decode_pages: int = 256,
    prefill_pages: int = 256,
    prefill_transport: MakeTransport = LocalTransport,
    decode_transport: MakeTransport = LocalTransport,
    decode_layout: dict[str, object] | None = None,
    wait_seconds: float = 5.0,
    device: str = "cpu",
) -> AsyncIterator[Pair]:
    prefill = tiny_engine(sanitizer=sanitizer, pages=prefill_pages, chunk_tokens=16, device=device)
    decode = tiny_engine(sanitizer=sanitizer, pages=decode_pages, device=device)
    layout = layout_of(prefill.runner.store, "tiny")
    theirs = replace_layout(layout_of(decode.runner.store, "tiny"), decode_layout or {})
    services = [EngineService(engine, 64) for engine in (prefill, decode)]
    prefill_role = make_prefill(
        prefill, prefill_transport(prefill.runner.store), layout, wait_seconds
    )
    transport = decode_transport(decode.runner.store)
    decode_role = make_decode(decode, transport, theirs, protocol, budget_seconds)
    services[0].gate, services[1].gate = prefill_role, decode_role
    port = await prefill_role.link.start("127.0.0.1", 0)
    decode_role.link.start()
    for service in services:
        service.start()
    address = ("127.0.0.1", port)
    pair = Pair(prefill, decode, services[0], services[1], prefill_role, decode_role, address)
    try:
        yield pair
    finally:
        await decode_role.stop()
        await prefill_role.stop()
        pair.stop()


def replace_layout(layout: Layout, changes: dict[str, object]) -> Layout:
    fields = {name: getattr(layout, name) for name in layout.__struct_fields__} | changes
    return Layout(**fields)


async def failure_of(awaitable: object) -> str:
    """The message of the ``BackendError`` that it ends with."""
    try:
        await awaitable  # type: ignore[misc]
    except BackendError as error:
        return str(error)
    raise AssertionError("it did not fail")


async def wait_until(is_true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns when a condition of another thread holds."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.002)
