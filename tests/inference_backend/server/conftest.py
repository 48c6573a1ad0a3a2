"""A served fake: the real app and a byte tokenizer around a scripted engine."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import msgspec
import pytest
from transformers import PreTrainedTokenizerFast

from inference_backend.server.app import build_app
from inference_backend.server.ports import ServedModel
from inference_backend.server.tokenizer import HubTokenizer
from tests.fakes.byte_tokenizer import VOCAB_SIZE, build_byte_tokenizer
from tests.fakes.generation import ScriptedService

MODEL = ServedModel(name="tiny", max_context=512, vocab_size=VOCAB_SIZE, created=1_700_000_000)


@pytest.fixture(scope="session")
def hub_tokenizer() -> PreTrainedTokenizerFast:
    return build_byte_tokenizer()


@pytest.fixture(scope="session")
def tokenizer(hub_tokenizer: PreTrainedTokenizerFast) -> HubTokenizer:
    return HubTokenizer(hub_tokenizer)


@dataclass(frozen=True)
class Served:
    """A client of the app, and how to read what it streams."""

    client: httpx.AsyncClient

    async def events(self, path: str, body: dict[str, object]) -> list[dict[str, object]]:
        """The events of a stream; asserts that it is a well-formed one that ends in [DONE]."""
        response = await self.client.post(path, json=body | {"stream": True})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        parts = response.text.split("\n\n")
        assert parts[-2:] == ["data: [DONE]", ""]
        return [msgspec.json.decode(part.removeprefix("data: ")) for part in parts[:-2]]


@pytest.fixture
async def serve(
    hub_tokenizer: PreTrainedTokenizerFast,
) -> AsyncIterator[Callable[..., Served]]:
    clients: list[httpx.AsyncClient] = []

    def start(service: ScriptedService, admin_key: str | None = None) -> Served:
        app = build_app(service, hub_tokenizer, MODEL, admin_key)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://backend")
        clients.append(client)
        return Served(client)

    yield start
    for client in clients:
        await client.aclose()
