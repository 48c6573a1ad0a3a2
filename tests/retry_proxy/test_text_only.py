"""Where no acceptance is told, the text detectors stop an answer, whatever part of it is sick."""

import pytest

from detectors.verdict import AnomalyKind
from retry_proxy.config import PanelName, ReleaseMode
from tests.fakes.asgi_client import Exchange, post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, TYPED_ROUTES, Proxy, proxy_for, request_body
from tests.fakes.script import Script

LENGTH = 600
LOOP = " again and"


async def ask(script: Script, route: str, release: ReleaseMode) -> tuple[Exchange, Proxy]:
    is_llama = route in TYPED_ROUTES
    async with (
        FakeEngine(LENGTH, is_stock=True, is_llama=is_llama, is_paced=True) as sick,
        FakeEngine(40, is_stock=True, is_llama=is_llama) as healthy,
    ):
        sick.default = script
        options = {"panel": PanelName.DEFAULT, "release": release}
        async with proxy_for(sick, healthy, **options) as proxy:
            got = await post(proxy.app, route, request_body(route, max_tokens=2 * LENGTH))
    return got, proxy


@pytest.mark.parametrize("route", TYPED_ROUTES)
@pytest.mark.parametrize("release", [ReleaseMode.BUFFER, ReleaseMode.ADAPTIVE])
async def test_a_loop_on_the_typed_routes(route: str, release: ReleaseMode) -> None:
    got, proxy = await ask(Script(after=20, word=LOOP), route, release)
    verdict = proxy.sink.attempts[0].verdict
    assert verdict is not None
    assert verdict.kind is AnomalyKind.REPETITION
    if release is ReleaseMode.BUFFER:
        assert (LOOP in got.text(), got.is_done) == (False, True)
    else:
        assert got.text().count(LOOP) < 30


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "tool_calls"])
async def test_a_loop_in_the_thoughts_or_in_a_tools_input(field: str) -> None:
    """Only the answer's own text was watched, and a model can loop anywhere."""
    script = Script(after=0, word=LOOP, field=field)
    got, proxy = await ask(script, CHAT, ReleaseMode.BUFFER)
    verdict = proxy.sink.attempts[0].verdict
    assert verdict is not None
    assert verdict.kind is AnomalyKind.REPETITION
    assert LOOP.encode() not in got.body
    assert got.is_done


@pytest.mark.parametrize("field", ["reasoning_content", "tool_calls"])
async def test_what_looks_bad_is_held_wherever_it_stands(field: str) -> None:
    script = Script(after=0, word=LOOP, field=field)
    got, proxy = await ask(script, CHAT, ReleaseMode.ADAPTIVE)
    assert proxy.sink.attempts[0].verdict is not None
    assert got.body.count(LOOP.encode()) < 30
    assert got.error is not None, "a begun thought or call is not continued"
