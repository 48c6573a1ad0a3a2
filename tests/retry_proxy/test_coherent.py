"""Whatever faults happen in whatever order.

The client's text is a prefix of one answer, or all of it.
"""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retry_proxy.config import ReleaseMode
from tests.fakes.asgi_client import Exchange, post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ROUTES, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

LENGTH = 150

scripts = st.builds(
    Script,
    fault=st.sampled_from([fault for fault in Fault if "stall" not in fault.value]),
    after=st.integers(0, LENGTH),
    status=st.sampled_from([500, 503]),
)


async def ask(
    per_replica: list[Script], route: str, release: ReleaseMode, attempts: int
) -> tuple[Exchange, list[FakeEngine]]:
    async with FakeEngine(LENGTH) as a, FakeEngine(LENGTH) as b, FakeEngine(LENGTH) as c:
        engines = [a, b, c]
        for engine, script in zip(engines, per_replica, strict=True):
            engine.default = script
            engine.is_paced = True
        async with proxy_for(*engines, release=release, max_attempts=attempts) as proxy:
            got = await post(proxy.app, route, request_body(route, max_tokens=LENGTH))
        for engine in engines:
            await engine.wait_for(open_streams=0)
    return got, engines


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(scripts, min_size=3, max_size=3),
    st.sampled_from(ROUTES),
    st.sampled_from(list(ReleaseMode)),
    st.integers(1, 4),
)
def test_the_text_is_one_coherent_answer(
    per_replica: list[Script], route: str, release: ReleaseMode, attempts: int
) -> None:
    got, _ = asyncio.run(ask(per_replica, route, release, attempts))
    assert got.is_ended
    if got.status != 200:
        assert got.json()["error"]["code"]
        return
    assert words(LENGTH).startswith(got.text())
    assert list(got.events()).count("[DONE]") == (1 if got.error is None else 0)
    if got.error is None:
        assert got.text() == words(LENGTH)
