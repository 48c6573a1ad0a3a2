"""Whole incidents for tests, and JSON of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from msgspec import structs

from monitor.api import build_router
from monitor.incidents.listing import as_line
from monitor.monitor import Monitor
from monitor.records import Incident, IncidentFilter
from monitor.store.memory import MemoryStore
from retry_proxy.events import RequestOutcome
from tests.fakes.served import served
from tests.monitor.events import (
    REPLICA_B,
    attempt_ended,
    request_ended,
    request_id,
    stopped,
    verdict,
)
from tests.monitor.fakes import FakeFleet

STEPS = bytes([2] * 45 + [0] * 39)


def fill(monitor: Monitor, number: int, **changes: Any) -> None:
    """One sick attempt of 174 tokens, a retry elsewhere, an answer."""
    values: dict[str, Any] = {
        "recent_steps": STEPS,
        "completion_tokens": 175,
        "verdict": verdict(onset_token=136, alarm_token=175, reason="accept length 1.1 under 1.4"),
    }
    monitor.emit(stopped(number, **{**values, **changes}))
    later = 1002.0 + number
    monitor.emit(attempt_ended(number, 2, replica=REPLICA_B, started_at=later))
    monitor.emit(
        request_ended(
            number, outcome=RequestOutcome.RETRIED_CLEAN, attempts=2, added_delay_seconds=2.0
        )
    )


async def made(number: int = 1, **changes: Any) -> Incident:
    """What a monitor keeps of it."""
    monitor = Monitor(MemoryStore(clock=lambda: 0.0))
    fill(monitor, number, **changes)
    (incident,) = await monitor.incidents(IncidentFilter())
    return incident


async def lines(*numbers: int) -> bytes:
    """A file of them, oldest first."""
    told = [as_line(await made(number)) for number in numbers]
    return "".join(f"{line}\n" for line in told).encode()


async def foreign(text: str) -> Incident:
    """One in which every free text is ``text``."""
    incident = await made(
        model=text,
        replica=text,
        text_sample=text,
        verdict=verdict(detector=text, reason=text, evidence={text: 1.0}),
    )
    facts = structs.replace(incident.facts, error=text, engine=text)
    return structs.replace(incident, id=text, request_id=text, facts=facts, text_sample=text)


def incident_id(number: int) -> str:
    """Id of the first attempt of a request."""
    return f"{request_id(number)}01"


@dataclass(frozen=True, slots=True)
class Behind:
    """A monitor's routes as an application of their own."""

    app: FastAPI


@asynccontextmanager
async def serving(
    monitor: Monitor, fleet: FakeFleet | None = None, admin_key: str | None = None
) -> AsyncIterator[str]:
    """The monitor on a port of its own; yields its address."""
    app = FastAPI()
    app.include_router(build_router(monitor, fleet or FakeFleet(), admin_key))
    async with served(Behind(app)) as address:
        yield address
