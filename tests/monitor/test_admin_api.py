"""Orders to the fleet over HTTP, and who may give them."""

import httpx
import pytest
from fastapi import FastAPI

from monitor.admin_api import build_admin_router
from retry_proxy.errors import RefusedAddress, UnknownReplica
from retry_proxy.fleet.roster import Order
from tests.monitor.events import REPLICA_A

PATHS = ["/api/replicas", *(f"/api/replicas/{order}" for order in Order if order is not Order.ADD)]


class Fleet:
    """Remembers its orders."""

    def __init__(self, error: Exception | None = None) -> None:
        self.orders: list[tuple[Order, str]] = []
        self.error = error

    def apply(self, order: Order, address: str) -> None:
        if self.error is not None:
            raise self.error
        self.orders.append((order, address))


async def post(
    fleet: Fleet,
    path: str,
    *,
    key: str | None = None,
    peer: str = "127.0.0.1",
    host: str = "127.0.0.1:30000",
    body: object = None,
    **headers: str,
) -> httpx.Response:
    app = FastAPI()
    app.include_router(build_admin_router(fleet, key))
    transport = httpx.ASGITransport(app, client=(peer, 5))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        return await http.post(path, json=body or {"address": REPLICA_A}, headers=named)


@pytest.mark.parametrize("path", PATHS)
async def test_each_route_gives_its_order(path: str) -> None:
    fleet = Fleet()
    response = await post(fleet, path)
    assert (response.status_code, response.content) == (204, b"")
    expected = Order.ADD if path == "/api/replicas" else Order(path.rpartition("/")[2])
    assert fleet.orders == [(expected, REPLICA_A)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", "Bearer ", "secret", "Basic secret", "Bearer secret2"]
)
async def test_with_a_key_nobody_gives_orders_without_it(
    path: str, authorization: str | None
) -> None:
    fleet = Fleet()
    headers = {} if authorization is None else {"authorization": authorization}
    response = await post(fleet, path, key="secret", **headers)
    assert (response.status_code, fleet.orders) == (401, [])


async def test_with_the_key_orders_come_from_anywhere() -> None:
    fleet = Fleet()
    response = await post(
        fleet,
        PATHS[0],
        key="secret",
        peer="203.0.113.9",
        host="proxy",
        authorization="bearer secret",
    )
    assert response.status_code == 204


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "where",
    [
        {"peer": "203.0.113.9"},
        {"peer": "10.0.0.1"},
        {"host": "evil.example"},
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x_real_ip": "127.0.0.1"},
    ],
)
async def test_without_a_key_only_this_machine_gives_orders(
    path: str, where: dict[str, str]
) -> None:
    fleet = Fleet()
    response = await post(fleet, path, **where)
    assert (response.status_code, fleet.orders) == (403, [])


@pytest.mark.parametrize(("peer", "host"), [("::1", "[::1]:3"), ("127.0.0.9", "localhost")])
async def test_every_loopback_address_is_this_machine(peer: str, host: str) -> None:
    assert (await post(Fleet(), PATHS[0], peer=peer, host=host)).status_code == 204


@pytest.mark.parametrize(
    ("error", "status"), [(RefusedAddress("not allowed"), 400), (UnknownReplica("nobody"), 404)]
)
async def test_orders_that_cannot_be_followed(error: Exception, status: int) -> None:
    response = await post(Fleet(error), PATHS[0])
    assert (response.status_code, response.json()["detail"]) == (status, str(error))


@pytest.mark.parametrize("body", [{"other": 1}, {"address": 5}, {"address": "a" * 3000}, [1]])
async def test_a_body_that_is_none(body: object) -> None:
    assert (await post(Fleet(), PATHS[0], body=body)).status_code == 422


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_number_that_json_does_not_have_is_refused(path: str, number: str) -> None:
    """It was answered with 500: the refusal quoted it and could not be written."""
    body = f'{{"address": {number}}}'.encode()
    app = FastAPI()
    fleet = Fleet()
    app.include_router(build_admin_router(fleet, None))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        headers = {"content-type": "application/json"}
        response = await http.post(path, content=body, headers=headers)
    assert (response.status_code, fleet.orders) == (422, [])
    assert response.json()["detail"].startswith("body.address: ")
