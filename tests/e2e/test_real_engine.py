"""Everything over real sockets: two engines that compute, one of them sick, proxy and monitor."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from inference_backend.engine.engine import Engine
from inference_backend.engine.service import EngineService
from inference_backend.server.app import build_app as build_backend
from inference_backend.server.ports import ServedModel
from monitor.api import build_router
from monitor.monitor import Monitor
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig, ReleaseMode
from retry_proxy.events import Event, RequestEnded
from retry_proxy.fleet import Fleet
from tests.fakes.byte_tokenizer import IM_END, VOCAB_SIZE, build_byte_tokenizer
from tests.fakes.engine_runs import check_pages, prompt, request
from tests.fakes.tiny_model import SHAPE, tiny_engine

ADMIN = {"authorization": "Bearer key"}
TOKENS = 96
TINY = replace(SHAPE, vocab_size=VOCAB_SIZE, eos_token_ids=(IM_END,), max_context=512)
# Healthy generations of the tiny model make 3.5 tokens a step and damaged ones 1.1; it loops, as
# models without training do, so that the other half of the rule is off.
# The tiny model writes no language: only its acceptance can be judged.
RULE: dict[str, Any] = {
    "panel": PanelName.PUBLISHED,
    "accept_length_after_tokens": 40,
    "max_accept_rate": 1.0,
}
NOISE = {"kind": "noise", "rate": 1.0, "page_share": 1.0, "after_tokens": 12, "seed": 1}


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serves the app in this loop; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    open_socket = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[open_socket]))
    try:
        yield f"http://127.0.0.1:{open_socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Replica:
    engine: Engine
    service: EngineService
    address: str = ""

    async def settled(self) -> None:
        """The engine's thread has carried out every abort that was sent before."""
        last = request("last", prompt(3), new_tokens=1)
        assert [output async for output in self.service.generate(last)]


@asynccontextmanager
async def running_replica() -> AsyncIterator[Replica]:
    engine = tiny_engine(TINY, page_size=8)
    service = EngineService(engine, max_waiting=64)
    model = ServedModel("tiny", engine.max_context, VOCAB_SIZE, created=1)
    service.start()
    try:
        app = build_backend(service, build_byte_tokenizer(), model, admin_key="key")
        async with listening(app) as address:
            yield Replica(engine, service, address)
    finally:
        service.stop(5.0)


class WatchedMonitor(Monitor):
    """The monitor; tells when so many requests have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = 0
        self.has_news = asyncio.Event()

    def emit(self, event: Event) -> None:
        super().emit(event)
        self.ended += isinstance(event, RequestEnded)
        self.has_news.set()

    async def wait_for_requests(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.ended < count:
                self.has_news.clear()
                await self.has_news.wait()


@dataclass
class Service:
    """All of it, and a client."""

    sick: Replica
    healthy: Replica
    monitor: WatchedMonitor
    fleet: Fleet
    address: str
    client: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.client.get(self.address + path) as answer:
            return await answer.json()

    async def metric(self, name: str, label: str | None = None) -> Counter[str]:
        """Sums of a metric, by one label."""
        async with self.client.get(self.address + "/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        found: Counter[str] = Counter()
        for sample in (sample for family in families for sample in family.samples):
            if sample.name == name:
                found[sample.labels[label] if label else ""] += int(sample.value)
        return found


@asynccontextmanager
async def running_service(release: ReleaseMode) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        sick = await stack.enter_async_context(running_replica())
        healthy = await stack.enter_async_context(running_replica())
        config = ProxyConfig(replicas=(sick.address, healthy.address), release=release, **RULE)
        monitor = WatchedMonitor()
        fleet = Fleet(config, monitor)
        app = build_app(config, sink=monitor, fleet=fleet, routers=[build_router(monitor, fleet)])
        address = await stack.enter_async_context(listening(app))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        async with client.post(sick.address + "/faults", json=NOISE, headers=ADMIN) as answer:
            assert answer.status == 200
        yield Service(sick, healthy, monitor, fleet, address, client)


def generation(number: int, tokens: int = TOKENS) -> tuple[str, dict[str, Any]]:
    """Path and body of a greedy generation of exactly so many tokens."""
    sampling = {"temperature": 0.0, "ignore_eos": True}
    text = f"Question {number}: {number * 37}?"
    if number % 3 == 0:
        limit = {"max_new_tokens": tokens}
        return "/generate", {"text": text, "sampling_params": sampling | limit}
    body: dict[str, Any] = {"model": "tiny", "max_tokens": tokens, **sampling}
    if number % 3 == 1:
        return "/v1/completions", body | {"prompt": text}
    return "/v1/chat/completions", body | {"messages": [{"role": "user", "content": text}]}


def answer_of(path: str, body: dict[str, Any]) -> tuple[str, int]:
    """Text and tokens of a whole answer."""
    if path == "/generate":
        return body["text"], body["meta_info"]["completion_tokens"]
    choice = body["choices"][0]
    text = choice["text"] if path == "/v1/completions" else choice["message"]["content"]
    return text, body["usage"]["completion_tokens"]


async def ask(
    client: aiohttp.ClientSession, address: str, path: str, body: dict[str, Any]
) -> tuple[str, int]:
    async with client.post(address + path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return answer_of(path, await answer.json())


async def stream(service: Service, path: str, body: dict[str, Any]) -> bytes:
    asked = body | {"stream": True}
    async with service.client.post(service.address + path, json=asked) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def check_books(service: Service, requests: int) -> None:
    """Incidents, metrics, the engines' records and their pages tell one story."""
    await service.fleet.settle()
    for replica in (service.sick, service.healthy):
        await replica.settled()
        check_pages(replica.engine)
    found = (await service.get("/api/incidents"))["incidents"]
    assert found
    assert {incident["kind"] for incident in found} == {"garbled"}
    assert {incident["facts"]["replica"] for incident in found} == {service.sick.address}
    records = service.sick.service.fault_records()
    assert {incident["id"] for incident in found} <= {record.request_id for record in records}
    outcomes = await service.metric("specwatch_attempts_total", "outcome")
    assert outcomes["anomaly"] == len(found)
    assert await service.metric("specwatch_anomalies_total") == {"": len(found)}
    assert (await service.metric("specwatch_requests_total")).total() == requests
    assert (await service.metric("specwatch_retries_total", "outcome"))["clean"] == len(found)
    wasted = await service.metric("specwatch_wasted_tokens_total", "outcome")
    assert wasted["anomaly"] == sum(incident["facts"]["wasted_tokens"] for incident in found)
    assert (await service.metric("specwatch_in_flight")).total() == 0
    for replica in (service.sick, service.healthy):
        assert replica.service.snapshot().running == 0


async def test_sick_generations_are_done_again_and_the_books_agree() -> None:
    async with asyncio.timeout(30), running_service(ReleaseMode.BUFFER) as service:
        jobs = [generation(number) for number in range(6)]
        got = await asyncio.gather(*(ask(service.client, service.address, *job) for job in jobs))
        wanted = [await ask(service.client, service.healthy.address, *job) for job in jobs]
        assert got == wanted
        await check_books(service, requests=len(jobs))
        aborted = [record.finish_reason for record in service.sick.service.fault_records()]
        assert set(aborted) == {"abort"}
        incident = (await service.get("/api/incidents"))["incidents"][0]
        told = await service.get(f"/api/incidents/{incident['id']}")
        assert told["request"]["outcome"] == "retried_clean"
        assert [one["outcome"] for one in told["request"]["attempts"]] == ["anomaly", "completed"]


@pytest.mark.parametrize("release", [ReleaseMode.ADAPTIVE, ReleaseMode.LIVE])
async def test_streams_are_whole_and_end_once(release: ReleaseMode) -> None:
    async with asyncio.timeout(30), running_service(release) as service:
        jobs = [generation(number) for number in range(6)]
        streams = await asyncio.gather(*(stream(service, *job) for job in jobs))
        assert all(data.endswith(b"data: [DONE]\n\n") for data in streams)
        assert all(data.count(b"[DONE]") == 1 for data in streams)
        assert all(b'"error"' not in data for data in streams)
        delivered = await service.metric("specwatch_completion_tokens_total")
        assert delivered.total() == len(jobs) * TOKENS
        await check_books(service, requests=len(jobs))


async def test_a_client_that_leaves_frees_the_engine() -> None:
    async with asyncio.timeout(30), running_service(ReleaseMode.LIVE) as service:
        for number in (0, 1, 2):
            path, body = generation(number, tokens=400)
            answer = await service.client.post(service.address + path, json=body | {"stream": True})
            await answer.content.readany()
            answer.close()
        await service.monitor.wait_for_requests(3)
        await service.fleet.settle()
        for replica in (service.sick, service.healthy):
            await replica.settled()
            check_pages(replica.engine)
        outcomes = await service.metric("specwatch_requests_total", "outcome")
        assert outcomes == {"client_gone": 3}
        tokens = service.sick.service.snapshot().generation_tokens_total
        tokens += service.healthy.service.snapshot().generation_tokens_total
        assert tokens < 3 * 400
