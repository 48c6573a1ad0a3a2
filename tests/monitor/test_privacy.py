"""What clients ask and engines answer is written nowhere unless evidence capture is switched on."""

import logging
from dataclasses import replace

import msgspec
import pytest

from detectors.panel import Panel
from monitor.api import build_router
from monitor.monitor import Monitor
from retry_proxy.app import GenerationEndpoint, build_app, build_services
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.engines.call import Route
from retry_proxy.fleet import Fleet
from retry_proxy.pass_through import PassThrough
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, ROUTES, Proxy, proxy_for, request_body
from tests.fakes.script import Fault, Script
from tests.fakes.served import send_bytes, served

SECRET = "canary7f3a"
HEADERS = [("host", "proxy"), ("authorization", SECRET), ("x-mine", SECRET)]
PAGES = ("/metrics", "/api/incidents", "/api/replicas")


@pytest.mark.parametrize(
    "fault", [Fault.LOW_ACCEPTANCE, Fault.HIGH_ACCEPTANCE, Fault.CUT, Fault.BAD_JSON, Fault.STATUS]
)
async def test_no_text_in_logs_metrics_or_records(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monitor = Monitor()
    async with FakeEngine(300) as one, FakeEngine(300) as two:
        one.default = Script(fault, after=10, word=SECRET)
        two.default = Script(Fault.LOW_ACCEPTANCE, word=SECRET)
        config = ProxyConfig(replicas=(one.address, two.address), panel=PanelName.PUBLISHED)
        fleet = Fleet(config, monitor)
        app = build_app(config, sink=monitor, fleet=fleet, routers=[build_router(monitor, fleet)])
        async with app.router.lifespan_context(app):
            bodies = [request_body(route) | {"user": SECRET, "rid": SECRET} for route in ROUTES]
            bodies[0]["text"] = bodies[1]["messages"][0]["content"] = SECRET
            for route, body in zip(ROUTES, bodies, strict=True):
                await post(app, route, body, headers=HEADERS)
            await post(app, ROUTES[1], b'{"messages": "%s", }' % SECRET.encode())
            pages = [(await start(app, "GET", page).finish()).body.decode() for page in PAGES]
        ids = [entry.split('"')[0] for entry in pages[1].split('"request_id":"')[1:]]
        stories = [await monitor.request(request_id) for request_id in ids]
    assert SECRET not in "".join(pages) + repr(stories) + caplog.text
    assert (fault in (Fault.LOW_ACCEPTANCE, Fault.HIGH_ACCEPTANCE)) <= bool(stories)


async def test_no_text_in_the_trace_of_a_request_that_crashes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug of ours ends one request with a trace in the log: of the code, not of what it held."""
    caplog.set_level(logging.DEBUG)

    def build_panel(*_: object) -> Panel:
        raise ZeroDivisionError

    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        services = build_services(proxy.config, proxy.sink, proxy.fleet)
        broken = replace(services, build_panel=build_panel)
        endpoint = GenerationEndpoint(Route.CHAT, broken, PassThrough(proxy.fleet, 2**20))
        behind = Proxy(endpoint, proxy.fleet, proxy.sink, proxy.config)  # type: ignore[arg-type]
        body = msgspec.json.encode(request_body(CHAT) | {"user": SECRET})
        head = f"POST {CHAT}?a={SECRET} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        async with served(behind, log_config=None, log_level="debug") as address:
            answer = await send_bytes(address, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "ZeroDivisionError" in caplog.text
    assert SECRET not in caplog.text + answer.decode()
