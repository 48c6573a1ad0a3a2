"""A Prometheus and an Alertmanager in one: as much of their APIs as a drill asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class FakeAlarms:
    """Scrapes the proxy whenever it is asked; fires once there are enough anomalies.

    Attributes:
        fires_at: so many anomalies of one replica.
        is_deaf: no alert ever fires.
        old: alerts that fire all the time.
        late: alerts that fire from the first anomaly on.
    """

    proxy: str = ""
    fires_at: int = 2
    is_deaf: bool = False
    old: list[dict[str, str]] = field(default_factory=list)
    late: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)

    async def _scrape(self) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{self.proxy}/metrics") as page:
            text = await page.text()
        self.counts = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "specwatch_anomalies_total":
                    replica = sample.labels["replica"]
                    self.counts[replica] = self.counts.get(replica, 0.0) + sample.value

    def _firing(self) -> list[dict[str, str]]:
        if self.is_deaf:
            return [*self.old, *(self.late if self.counts else ())]
        ill = [replica for replica, count in self.counts.items() if count >= self.fires_at]
        name = "ReplicaAnomalyOutlier"
        return [*self.old, *({"alertname": name, "replica": one} for one in ill)]

    async def query(self, request: web.Request) -> web.Response:
        """The sum over one replica."""
        await self._scrape()
        wanted = request.query["query"]
        value = sum(count for replica, count in self.counts.items() if f'"{replica}"' in wanted)
        result = [{"metric": {}, "value": [0, str(value)]}] if value else []
        return web.json_response({"status": "success", "data": {"result": result}})

    async def alerts(self, _: web.Request) -> web.Response:
        """As Prometheus tells them."""
        told = [{"labels": labels, "state": "firing"} for labels in self._firing()]
        told.append({"labels": {"alertname": "Pending"}, "state": "pending"})
        return web.json_response({"status": "success", "data": {"alerts": told}})

    async def active(self, _: web.Request) -> web.Response:
        """As Alertmanager tells them."""
        return web.json_response([{"labels": labels} for labels in self._firing()])


@asynccontextmanager
async def serving(alarms: FakeAlarms) -> AsyncIterator[str]:
    """Its address."""
    app = web.Application()
    app.router.add_get("/api/v1/query", alarms.query)
    app.router.add_get("/api/v1/alerts", alarms.alerts)
    app.router.add_get("/api/v2/alerts", alarms.active)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
