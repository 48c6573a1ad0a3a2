"""What a replica is, where it does not say so to everybody."""

from typing import Any

import msgspec
import pytest

from retry_proxy.config import EngineName, ProxyConfig
from retry_proxy.engines.detect import DENIED, describe
from retry_proxy.errors import ConnectFailed, InvalidConfig
from retry_proxy.fleet.health import fetch_answers
from retry_proxy.stream.sockets import SocketUpstream
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.raw_server import NOT_FOUND, raw_server

DENIAL = b'HTTP/1.1 401 Unauthorized\r\ncontent-length: 24\r\n\r\n{"error":"Unauthorized"}'
SGLANG_METRICS = """# HELP sglang:spec_num_draft_tokens drafts
sglang:spec_num_draft_tokens{model_name="m",tp_rank="0"} 4.0
"""


def ok(body: Any) -> bytes:
    data = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + data


async def answers_of(pages: dict[str, bytes], **options: Any) -> dict[str, Any]:
    """A replica that denies every page that is not given."""
    upstream = SocketUpstream(1.0)
    async with raw_server(lambda line: pages.get(line.split(" ")[1], DENIAL)) as server:
        try:
            return await fetch_answers(upstream, server.address, 1.0, **options)
        finally:
            await upstream.close()


async def test_sglang_behind_a_key_is_known_by_its_models() -> None:
    """It was taken for any OpenAI server, whose acceptance nobody watches."""
    models = ok({"data": [{"id": "m", "owned_by": "sglang"}]})
    profile = describe(await answers_of({"/v1/models": models}), "auto")
    assert (profile.name, profile.models, profile.is_speculating) == ("sglang", ("m",), False)


async def test_or_by_its_metrics_which_also_tell_that_it_speculates() -> None:
    profile = describe(await answers_of({"/metrics": ok(SGLANG_METRICS)}), "auto")
    assert (profile.name, profile.is_speculating, profile.draft_tokens) == ("sglang", True, None)


async def test_one_that_tells_nothing_without_a_key_is_no_openai_server() -> None:
    with pytest.raises(ConnectFailed, match="probe_api_key"):
        await answers_of({})


async def test_unless_the_operator_named_the_engine() -> None:
    answers = await answers_of({}, wanted=EngineName.SGLANG)
    assert describe(answers, EngineName.SGLANG).name == "sglang"


async def test_a_gateways_model_list_alone_makes_it_no_sglang() -> None:
    models = {"data": [{"id": "m", "owned_by": "sglang"}]}
    assert describe({"/v1/models": models}, "auto").name == "openai"
    denied = {"/server_info": DENIED, "/v1/models": models}
    assert describe(denied, "auto").name == "sglang"


async def test_the_key_is_sent_with_probes_only() -> None:
    async with FakeEngine() as engine, proxy_for(engine, probe_api_key="secret") as proxy:
        await proxy.fleet.adapter(proxy.fleet._replicas[0])
    sent = {request[1]: request[3] for request in engine.other_requests}
    assert sent["/metrics"]["authorization"] == "Bearer secret"
    assert "secret" not in repr(proxy.config)


def test_a_key_that_is_no_text_is_refused_without_telling_it() -> None:
    with pytest.raises(InvalidConfig) as caught:
        ProxyConfig.from_mapping({"replicas": ["http://a:1"], "probe_api_key": 12345})
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("pages", "name", "version"),
    [
        ({"/server_info": {"version": "0.5.23"}}, "sglang", "0.5.23"),
        ({"/get_server_info": {"version": "0.5.5"}}, "sglang", "0.5.5"),
        ({"/version": {"version": "0.32.0"}}, "vllm", "0.32.0"),
        ({"/props": {"build_info": "b11434-sdist"}}, "llamacpp", "b11434-sdist"),
    ],
)
async def test_the_engines_version(pages: dict[str, Any], name: str, version: str) -> None:
    def answer(line: str) -> bytes:
        page = pages.get(line.split(" ")[1])
        return NOT_FOUND if page is None else ok(page)

    async with raw_server(answer) as server, FakeEngine() as unused:
        unused.address = server.address
        async with proxy_for(unused) as proxy:
            await proxy.fleet.adapter(proxy.fleet._replicas[0])
            (snapshot,) = proxy.fleet.snapshot()
    assert (snapshot.engine, snapshot.version) == (name, version)
