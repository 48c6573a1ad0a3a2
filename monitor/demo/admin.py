"""Talks to the replicas' fault drills and to the proxy's monitor on behalf of the demo."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from monitor.demo.judge import Attempt, Damage
from monitor.demo.report import Sample
from monitor.errors import DemoFailed

ENDED_POLLS = 50
ENDED_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What a replica is told to damage: stored pages of running generations, nothing else.

    Attributes:
        rate: share of the generations that are damaged.
        page_share: share of a generation's pages that ``noise`` overwrites.
        layer_share: share of the layers that ``zero_layers`` clears.
        after_tokens: the damage is done once this many tokens are out.
    """

    kind: str
    rate: float = 1.0
    page_share: float = 0.5
    layer_share: float = 0.5
    after_tokens: int = 16
    seed: int = 0


class Drills:
    """The fault drills of one replica."""

    def __init__(self, session: aiohttp.ClientSession, address: str, admin_key: str) -> None:
        self._session = session
        self._url = f"{address}/faults"
        self._headers = {"Authorization": f"Bearer {admin_key}"}

    async def plan(self, plan: FaultPlan) -> None:
        """Damage from now on as ``plan`` says."""
        await self._post(
            {
                "kind": plan.kind,
                "rate": plan.rate,
                "seed": plan.seed,
                "page_share": plan.page_share,
                "layer_share": plan.layer_share,
                "after_tokens": plan.after_tokens,
            }
        )

    async def stop(self) -> None:
        """Damage nothing from now on."""
        await self._post({"kind": None})

    async def damages(self) -> list[Damage]:
        """What was damaged so far; waits a moment for generations that are just ending."""
        records: list[dict[str, Any]] = []
        for _ in range(ENDED_POLLS):
            records = (await get_json(self._session, self._url, self._headers))["records"]
            if all(record["finish_reason"] is not None for record in records):
                break
            await asyncio.sleep(ENDED_POLL_SECONDS)
        return [read_damage(record) for record in records]

    async def _post(self, body: dict[str, Any]) -> None:
        async with self._session.post(self._url, json=body, headers=self._headers) as response:
            if response.status != 200:
                raise DemoFailed(f"{self._url} answered {response.status}: {await response.text()}")


def read_damage(record: dict[str, Any]) -> Damage:
    """One entry of a replica's fault record."""
    return Damage(
        rid=record["rid"],
        kind=record["kind"],
        from_token=record["damaged_from_token"],
        completion_tokens=record["completion_tokens"],
    )


def read_attempt(facts: dict[str, Any]) -> Attempt:
    """One attempt of a request's story."""
    verdict = facts["verdict"]
    return Attempt(
        rid=facts["rid"],
        outcome=facts["outcome"],
        completion_tokens=facts["completion_tokens"],
        released_tokens=facts["released_tokens"],
        wasted_tokens=facts["wasted_tokens"],
        alarm_token=None if verdict is None else verdict["alarm_token"],
    )


def read_sample(incident: dict[str, Any], damages: Mapping[str, Damage]) -> Sample | None:
    """One stopped generation, if its text was captured."""
    facts = incident["facts"]
    if not incident["text_sample"] or facts["verdict"] is None:
        return None
    damage = damages.get(incident["id"])
    return Sample(
        incident_id=incident["id"],
        replica=facts["replica"],
        kind=incident["kind"],
        damage=None if damage is None else damage.kind,
        alarm_token=facts["verdict"]["alarm_token"],
        accept_length=facts["accept_length"],
        text=incident["text_sample"],
    )


def choose_samples(
    incidents: Sequence[dict[str, Any]], damages: Mapping[str, Damage], limit: int = 3
) -> list[Sample]:
    """A few stopped generations, as different in cause and kind as there are."""
    read = (read_sample(incident, damages) for incident in incidents)
    samples = [sample for sample in read if sample is not None]
    first_of_sort = {(one.damage, one.kind): one for one in reversed(samples)}.values()
    rest = [sample for sample in samples if sample not in first_of_sort]
    return [*first_of_sort, *rest][:limit]


async def request_story(
    session: aiohttp.ClientSession, proxy: str, request_id: str
) -> dict[str, Any] | None:
    """The monitor's record of one request, once it has ended there as well."""
    url = f"{proxy}/api/requests/{request_id}"
    for _ in range(ENDED_POLLS):
        async with session.get(url) as response:
            body: dict[str, Any] = await response.json()
            if response.status == 200 and not body["is_running"]:
                return body
        await asyncio.sleep(ENDED_POLL_SECONDS)
    return None


async def get_json(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None
) -> Any:
    """The JSON at ``url``.

    Raises:
        DemoFailed: another status than 200.
    """
    async with session.get(url, headers=headers) as response:
        if response.status != 200:
            raise DemoFailed(f"{url} answered {response.status}: {await response.text()}")
        return await response.json()


def metric_examples(exposition: str, names: Sequence[str]) -> list[str]:
    """The non-zero samples of some metrics out of the text that Prometheus scrapes."""
    return [
        line
        for line in exposition.splitlines()
        if line.startswith(tuple(names)) and not line.endswith(" 0.0")
    ]
