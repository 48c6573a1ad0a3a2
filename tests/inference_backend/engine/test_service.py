"""The engine behind its thread: streams, aborts, and every way to go down."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from torch import Tensor

from inference_backend.engine.decode_inputs import DecodeInputs
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import FinishReason, GenerationRequest, StepOutput
from inference_backend.engine.service import EngineService
from inference_backend.errors import EngineBusy, EngineStopped, InvalidRequest
from tests.fakes.engine_runs import check_pages, prompt, recomputed, request
from tests.fakes.tiny_model import tiny_engine, tiny_model

PATIENCE_SECONDS = 20.0
ENDLESS = 230


@asynccontextmanager
async def served(engine: Engine, max_waiting: int = 16) -> AsyncIterator[EngineService]:
    """A started service; afterwards nothing of it runs."""
    service = EngineService(engine, max_waiting)
    service.start()
    try:
        yield service
    finally:
        service.stop(PATIENCE_SECONDS)
        assert not service.is_alive


async def collect(stream: AsyncGenerator[StepOutput, None]) -> list[StepOutput]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [output async for output in stream]


async def until(is_so: Callable[[], bool]) -> None:
    """Looks until it is so: the engine's thread tells nobody how far it is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def idle(service: EngineService) -> None:
    """Returns when nothing runs or waits any more."""
    await until(lambda: service.snapshot().running == service.snapshot().waiting == 0)


async def test_streams_run_side_by_side() -> None:
    engine, model = tiny_engine(), tiny_model()
    async with served(engine) as service:
        streams = [service.generate(request(str(i), prompt(9, i))) for i in range(5)]
        results = await asyncio.gather(*(collect(stream) for stream in streams))
        await idle(service)
        check_pages(engine)
    for i, outputs in enumerate(results):
        tokens = [token for output in outputs for token in output.token_ids]
        assert tokens == recomputed(model, prompt(9, i), 24)
        assert outputs[-1].finish_reason is FinishReason.LENGTH


async def test_a_closed_stream_aborts_its_generation() -> None:
    """As when a client goes away: the pages are free again, and the others go on."""
    engine = tiny_engine()
    async with served(engine) as service:
        other = asyncio.create_task(collect(service.generate(request("stays", prompt(5), 60))))
        async with aclosing(service.generate(request("leaves", prompt(5), ENDLESS))) as stream:
            await anext(stream)
        outputs = await other
        await idle(service)
        assert outputs[-1].completion_tokens == 60
        assert service.snapshot().aborted_total == 1
        check_pages(engine)


async def test_a_cancelled_reader_aborts_its_generation() -> None:
    engine = tiny_engine()
    async with served(engine) as service:
        reader = asyncio.create_task(collect(service.generate(request("a", prompt(5), ENDLESS))))
        await until(lambda: service.snapshot().running == 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await idle(service)
        check_pages(engine)


async def test_an_abort_by_prefix_ends_the_streams_it_means() -> None:
    engine = tiny_engine()
    async with served(engine) as service:
        streams = [service.generate(request(name, prompt(5), ENDLESS)) for name in ("x01", "x02")]
        first = [await anext(stream) for stream in streams]
        assert all(output.finish_reason is None for output in first)
        other = asyncio.create_task(collect(service.generate(request("y01", prompt(5), 20))))
        assert service.abort("x") == 2
        ends = [(await collect(stream))[-1] for stream in streams]
        assert {output.finish_reason for output in ends} == {FinishReason.ABORT}
        assert all(output.abort_message for output in ends)
        assert (await other)[-1].finish_reason is FinishReason.LENGTH
        assert service.abort("nobody") == 0
        await idle(service)
        check_pages(engine)


async def test_abort_all_ends_everything() -> None:
    engine = tiny_engine(max_running=2)
    async with served(engine) as service:
        names = [str(i) for i in range(5)]
        streams = [service.generate(request(name, prompt(5), ENDLESS)) for name in names]
        tasks = [asyncio.create_task(collect(stream)) for stream in streams]
        await until(lambda: service.snapshot().running == 2)
        assert service.abort_all() == 5
        ends = [(await task)[-1].finish_reason for task in tasks]
        assert ends == [FinishReason.ABORT] * 5
        check_pages(engine)


async def test_a_full_queue_is_busy() -> None:
    engine = tiny_engine(max_running=1)
    async with served(engine, max_waiting=1) as service:
        async with aclosing(service.generate(request("runs", prompt(5), ENDLESS))) as running:
            await anext(running)
            waiting = asyncio.create_task(collect(service.generate(request("waits", prompt(5), 3))))
            await until(lambda: service.snapshot().waiting == 1)
            with pytest.raises(EngineBusy, match="waiting already"):
                await collect(service.generate(request("refused", prompt(5), 3)))
        assert (await waiting)[-1].completion_tokens == 3
        await idle(service)
        check_pages(engine)


async def test_two_streams_with_one_id_are_refused() -> None:
    async with (
        served(tiny_engine()) as service,
        aclosing(service.generate(request("a", prompt(5), ENDLESS))) as first,
    ):
        await anext(first)
        with pytest.raises(InvalidRequest, match="running already"):
            await collect(service.generate(request("a", prompt(6), 3)))
        assert (await anext(first)).request_id == "a"


async def test_an_id_is_free_again_when_its_stream_was_closed() -> None:
    async with served(tiny_engine()) as service:
        for _ in range(3):
            async with aclosing(service.generate(request("a", prompt(5), ENDLESS))) as stream:
                await anext(stream)
            await idle(service)
        assert (await collect(service.generate(request("a", prompt(5), 4))))[-1].finish_reason


async def test_bad_requests_raise_and_the_engine_goes_on() -> None:
    async with served(tiny_engine()) as service:
        for bad in (request("a", []), request("b", [999]), request("c", prompt(9), 5000)):
            with pytest.raises(InvalidRequest):
                await collect(service.generate(bad))
        assert len(await collect(service.generate(request("d", prompt(3), 5)))) >= 2


async def test_stopping_ends_open_streams_with_an_error() -> None:
    async with served(tiny_engine()) as service:
        stream = service.generate(request("a", prompt(5), ENDLESS))
        await anext(stream)
        service.stop(PATIENCE_SECONDS)
        with pytest.raises(EngineStopped, match="while this generation"):
            await collect(stream)
        with pytest.raises(EngineStopped, match="not running"):
            await collect(service.generate(request("b", prompt(5), 3)))


def broken(inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
    raise RuntimeError("the device is gone")


async def test_a_dying_loop_tells_everybody(caplog: pytest.LogCaptureFixture) -> None:
    """Running and waiting ones get an error, and nobody is admitted any more."""
    engine = tiny_engine(max_running=1, run_step=broken)
    async with served(engine) as service:
        tasks = [
            asyncio.create_task(collect(service.generate(request(name, prompt(5), 9))))
            for name in "abc"
        ]
        for task in tasks:
            with pytest.raises(EngineStopped):
                await task
        assert not service.is_alive
        assert not service.snapshot().is_alive
        with pytest.raises(EngineStopped):
            await collect(service.generate(request("later", prompt(5), 3)))
    assert "the device is gone" in caplog.text


def test_a_listener_whose_event_loop_has_closed_does_no_harm() -> None:
    """A server thread that died must not take the engine with it."""
    engine = tiny_engine()
    service = EngineService(engine, 4)
    service.start()

    async def leave_open(keep: Callable[[object], None]) -> None:
        stream = service.generate(request("a", prompt(5), 60))
        keep(stream)
        await anext(stream)

    async def ask(new: GenerationRequest) -> list[StepOutput]:
        return await collect(service.generate(new))

    kept: list[object] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_open(kept.append))
    loop.close()
    outputs = asyncio.run(ask(request("b", prompt(6), 80)))
    assert outputs[-1].completion_tokens == 80
    service.stop(PATIENCE_SECONDS)
    assert len(kept) == 1
