"""What clients ask and engines answer is written nowhere unless evidence capture is switched on."""

import logging

import pytest

from monitor.api import build_router
from monitor.monitor import Monitor
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ROUTES, request_body
from tests.fakes.script import Fault, Script

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
