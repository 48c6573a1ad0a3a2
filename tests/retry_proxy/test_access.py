"""Keys of the data plane, and where the client's credentials end."""

from hashlib import sha256

import pytest

from retry_proxy.access import ApiKeys
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import Exchange, post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ALL_ROUTES, MESSAGES, proxy_for, request_body
from tests.fakes.script import Fault, Script
from tests.fakes.sink import RecordingSink

KEY, OTHER = "sk-one", "sk-two"
HASHED = "sha256:" + sha256(OTHER.encode()).hexdigest()
CREDENTIALS = {"authorization", "x-api-key", "api-key", "cookie"}
SHOWN = [("host", "proxy"), ("authorization", f"Bearer {KEY}"), ("cookie", "a=b"), ("x-mine", "1")]


def test_keys_and_hashes_of_a_file() -> None:
    keys = ApiKeys.from_text(f"# clients\n{KEY}\n\n  {HASHED}  \n")
    assert keys.accepts(KEY.encode())
    assert keys.accepts(OTHER.encode())
    wrong = (b"", b"sk-on", b"sk-one ", b"# clients", HASHED.encode(), "sk-öne".encode())
    assert not any(keys.accepts(key) for key in wrong)


@pytest.mark.parametrize("text", ["", "# none\n\n", "sha256:12", "sha256:" + "g" * 64, "a b", "é"])
def test_a_file_that_is_none(text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        ApiKeys.from_text(text)
    assert not text.strip() or text not in str(caught.value)


async def ask(path: str, headers: list[tuple[str, str]]) -> tuple[Exchange, FakeEngine]:
    async with FakeEngine() as engine:
        config = ProxyConfig(replicas=(engine.address,), panel=PanelName.PUBLISHED)
        sink = RecordingSink()
        fleet = Fleet(config, sink)
        keys = ApiKeys.from_text(f"{KEY}\n{HASHED}")
        app = build_app(config, sink=sink, fleet=fleet, api_keys=keys)
        async with app.router.lifespan_context(app):
            got = await post(app, path, request_body(path), headers=headers)
        return got, engine


@pytest.mark.parametrize("path", [*ALL_ROUTES, "/v1/embeddings", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    "shown",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("authorization", KEY)],
        [("authorization", f"Basic {KEY}")],
        [("x-api-key", "")],
        [("cookie", f"key={KEY}")],
    ],
)
async def test_without_a_key_nothing_reaches_an_engine(
    path: str, shown: list[tuple[str, str]]
) -> None:
    got, engine = await ask(path, [("host", "proxy"), *shown])
    assert (got.status, got.headers["www-authenticate"]) == (401, "Bearer")
    error = got.json()["error"]
    is_anthropic = path.startswith(MESSAGES)
    assert error["type"] == ("authentication_error" if is_anthropic else "invalid_request_error")
    assert error["code"] == "invalid_api_key"
    assert not engine.generations
    assert not [seen for seen in engine.other_requests if seen[1] == path]


@pytest.mark.parametrize(
    "shown",
    [
        ("authorization", f"Bearer {KEY}"),
        ("authorization", f"bearer {OTHER}"),
        ("x-api-key", KEY),
    ],
)
@pytest.mark.parametrize("path", ALL_ROUTES)
async def test_a_key_opens_the_route_and_stops_there(path: str, shown: tuple[str, str]) -> None:
    got, engine = await ask(path, [("host", "proxy"), shown, ("cookie", "a=b"), ("x-mine", "1")])
    assert (got.status, got.is_done) == (200, True)
    seen = {name.lower(): value for name, value in engine.generations[0].headers.items()}
    assert not CREDENTIALS & set(seen)
    assert seen["x-mine"] == "1"


async def test_the_engines_key_goes_in_the_place_of_the_clients() -> None:
    """With generations, aborts, probes and whatever passes through."""
    sick = Script(Fault.LOW_ACCEPTANCE)
    async with (
        FakeEngine(300) as one,
        FakeEngine(300) as two,
        proxy_for(one, two, engine_api_key="sk-engine") as proxy,
    ):
        one.default = sick
        await post(proxy.app, ALL_ROUTES[0], request_body(ALL_ROUTES[0]), headers=SHOWN)
        await start(proxy.app, "GET", "/v1/other", headers=SHOWN).finish()
        await one.wait_for(aborts=1)
    sent = [one.generations[0].headers, two.generations[0].headers]
    sent += [seen[3] for engine in (one, two) for seen in engine.other_requests]
    assert len(sent) > 2
    for headers in sent:
        shown = {name.lower(): value for name, value in headers.items()}
        assert {name: shown[name] for name in CREDENTIALS & set(shown)} == {
            "authorization": "Bearer sk-engine"
        }


async def test_without_keys_the_clients_credentials_are_the_engines_business() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        await post(proxy.app, ALL_ROUTES[0], request_body(ALL_ROUTES[0]), headers=SHOWN)
    seen = {name.lower(): value for name, value in engine.generations[0].headers.items()}
    assert seen["authorization"] == f"Bearer {KEY}"
