"""The retry budget over HTTP: who may look, who may change it, and what is refused."""

import httpx
import pytest
from fastapi import FastAPI

from monitor.budget_api import build_budget_router
from retry_proxy.decide.budget import RetryBudget

BOUNDS = {"ratio": 0.5, "min_per_second": 3.0}
KEY = {"authorization": "Bearer secret"}


def budget() -> RetryBudget:
    return RetryBudget(ratio=0.2, min_per_second=10.0)


def client(
    budget: RetryBudget, key: str | None, peer: str = "127.0.0.1", host: str = "127.0.0.1"
) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(build_budget_router(budget, key))
    transport = httpx.ASGITransport(app, client=(peer, 5))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


async def test_it_is_told_and_changed() -> None:
    changed = budget()
    async with client(changed, "secret") as http:
        got = await http.get("/api/budget", headers=KEY)
        assert got.json() == {"left": 10.0, "ratio": 0.2, "min_per_second": 10.0}
        assert (await http.post("/api/budget", json=BOUNDS, headers=KEY)).status_code == 204
        got = await http.get("/api/budget", headers=KEY)
    assert (got.json()["ratio"], got.json()["min_per_second"]) == (0.5, 3.0)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
async def test_with_a_key_nobody_looks_or_changes_without_it(headers: dict[str, str]) -> None:
    changed = budget()
    async with client(changed, "secret") as http:
        assert (await http.get("/api/budget", headers=headers)).status_code == 401
        assert (await http.post("/api/budget", json=BOUNDS, headers=headers)).status_code == 401
    assert changed.ratio == 0.2


async def test_without_a_key_only_this_machine_changes_it() -> None:
    changed = budget()
    async with client(changed, None, peer="10.0.0.1") as http:
        assert (await http.get("/api/budget")).status_code == 200
        assert (await http.post("/api/budget", json=BOUNDS)).status_code == 403
    assert changed.ratio == 0.2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ratio": 0.5},
        {"ratio": 1.5, "min_per_second": 3},
        {"ratio": -0.1, "min_per_second": 3},
        {"ratio": 0.5, "min_per_second": -1},
        {"ratio": 0.5, "min_per_second": 1e9},
        {"ratio": "much", "min_per_second": 3},
    ],
)
async def test_bounds_that_are_none_change_nothing(body: dict[str, object]) -> None:
    changed = budget()
    async with client(changed, None) as http:
        assert (await http.post("/api/budget", json=body)).status_code == 422
    assert (changed.ratio, changed.min_per_second) == (0.2, 10.0)


async def test_infinity_is_refused() -> None:
    """JSON has no such number, but Python's reader takes one."""
    assert await sent(b'{"ratio": 0.5, "min_per_second": Infinity}', "application/json") == 422


async def test_a_form_of_another_site_changes_nothing() -> None:
    """A browser on this machine may be made to send one, but not as JSON."""
    assert await sent(b'{"ratio": 0.5, "min_per_second": 3}', "text/plain") == 415


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b"null"])
async def test_what_is_no_json_is_refused(content: bytes) -> None:
    assert await sent(content, "application/json") in (413, 422)


async def sent(content: bytes, kind: str) -> int:
    """The status; nothing may have changed."""
    kept = budget()
    async with client(kept, None) as http:
        got = await http.post("/api/budget", content=content, headers={"content-type": kind})
    assert (kept.ratio, kept.min_per_second) == (0.2, 10.0)
    return got.status_code


def test_other_bounds_count_from_now_on() -> None:
    """A floor that proxies share stays shared; one of 0 switches it off."""
    changed = budget()
    changed.share_floor(2)
    changed.change(ratio=0.0, min_per_second=4.0)
    assert changed.left(0.0) == 2.0
    for _ in range(int(changed.left(0.0))):
        changed.spend(0.0)
    assert not changed.can_spend(0.0)
    assert changed.left(1.0) == pytest.approx(2.0)
    changed.change(ratio=1.0, min_per_second=0.0)
    changed.note_request(1.0)
    assert changed.left(1.0) == pytest.approx(1.0)
