"""A client that goes away closes its generation at once; nothing stays open."""

import asyncio
from typing import Any

import msgspec
import pytest
from transformers import PreTrainedTokenizerFast

from inference_backend.server.app import build_app
from tests.fakes.byte_tokenizer import ids_of
from tests.fakes.generation import ScriptedService
from tests.inference_backend.server.conftest import MODEL


class Connection:
    """The server's side of one connection: what the client sent, and when it leaves."""

    def __init__(self, body: bytes) -> None:
        self.leaves = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self._body: bytes | None = body

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }


@pytest.mark.parametrize("is_streaming", [True, False])
@pytest.mark.parametrize("path", ["/generate", "/v1/chat/completions", "/v1/completions"])
async def test_leaving_closes_the_generation(
    hub_tokenizer: PreTrainedTokenizerFast, path: str, is_streaming: bool
) -> None:
    service = ScriptedService(steps=[ids_of("a"), ids_of("b")], ending=None)
    field = {"/generate": "text", "/v1/completions": "prompt"}.get(path)
    asked = {"messages": [{"role": "user", "content": "x"}]} if field is None else {field: "x"}
    body = msgspec.json.encode({**asked, "stream": is_streaming, "rid": "r1"})
    connection = Connection(body)
    app = build_app(service, hub_tokenizer, MODEL)
    call = asyncio.create_task(app(scope(path), connection.receive, connection.send))
    await service.hangs.wait()
    assert service.open_generations == 1
    connection.leaves.set()
    async with asyncio.timeout(5):
        await call
    assert (service.open_generations, service.closed) == (0, ["r1"])


async def test_leaving_before_the_first_step_closes_it_too(
    hub_tokenizer: PreTrainedTokenizerFast,
) -> None:
    service = ScriptedService(steps=[], ending=None)
    connection = Connection(b'{"text": "x", "stream": true}')
    app = build_app(service, hub_tokenizer, MODEL)
    call = asyncio.create_task(app(scope("/generate"), connection.receive, connection.send))
    await service.hangs.wait()
    connection.leaves.set()
    async with asyncio.timeout(5):
        await call
    assert service.open_generations == 0
    assert connection.sent == []


async def test_leaving_while_the_body_arrives_starts_nothing(
    hub_tokenizer: PreTrainedTokenizerFast,
) -> None:
    service = ScriptedService()
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"te', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    connection = Connection(b"")
    app = build_app(service, hub_tokenizer, MODEL)
    await app(scope("/generate"), receive, connection.send)
    assert (service.requests, connection.sent) == ([], [])


async def test_stopping_the_server_closes_open_generations(
    hub_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """The web server cancels what outlives the grace time."""
    service = ScriptedService(steps=[ids_of("a")], ending=None)
    connection = Connection(b'{"text": "x", "stream": true}')
    app = build_app(service, hub_tokenizer, MODEL)
    call = asyncio.create_task(app(scope("/generate"), connection.receive, connection.send))
    await service.hangs.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert service.open_generations == 0


async def test_each_step_is_one_send(hub_tokenizer: PreTrainedTokenizerFast) -> None:
    service = ScriptedService(steps=[ids_of("a"), ids_of("b"), ids_of("c")])
    connection = Connection(b'{"text": "x", "stream": true}')
    app = build_app(service, hub_tokenizer, MODEL)
    await app(scope("/generate"), connection.receive, connection.send)
    bodies = [message for message in connection.sent if message["type"] == "http.response.body"]
    assert len(bodies) == 3 + 1  # one a step, then [DONE]
    assert [message["more_body"] for message in bodies] == [True, True, True, False]
