"""Orders to the fleet over HTTP: add, remove, drain, quarantine, release.

What is ordered lasts until the process ends. A replica that a file, DNS or Kubernetes lists is
drained, not removed: the list would bring it back.
"""

from collections.abc import Awaitable, Callable, Coroutine
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from monitor.addresses import is_loopback
from monitor.ports import FleetOrders
from retry_proxy.errors import RefusedAddress, UnknownReplica
from retry_proxy.fleet.roster import Order

Address = Annotated[str, Body(embed=True, max_length=2000)]

_MAX_BODY_BYTES = 16 * 1024

# Set by proxies in front: then the peer's address says nothing about who asks.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class AdminGate:
    """Who may give orders: the holder of the key; without one, processes of this machine.

    Args:
        key: ``None`` if none is configured.
    """

    def __init__(self, key: str | None) -> None:
        self._digest = None if key is None else sha256(key.encode()).digest()

    def __call__(self, request: Request) -> None:
        """Lets the request through.

        Raises:
            HTTPException: 401 without the right key, 403 from elsewhere where there is no key.
        """
        if self._digest is not None:
            if not compare_digest(sha256(_given_key(request).encode()).digest(), self._digest):
                raise HTTPException(
                    401,
                    "an admin key is needed: authorization: Bearer KEY",
                    {"www-authenticate": "Bearer"},
                )
        elif not _is_local(request):
            raise HTTPException(403, "without --admin-key only this machine may do that")


class ReadGate:
    """Who may look: the holder of the admin key, and everybody where there is none.

    Args:
        key: ``None`` if none is configured.
    """

    def __init__(self, key: str | None) -> None:
        self._gate = None if key is None else AdminGate(key)

    def __call__(self, request: Request) -> None:
        """Lets the request through.

        Raises:
            HTTPException: 401 without the right key.
        """
        if self._gate is not None:
            self._gate(request)


def gated_route(gate: Callable[[Request], None]) -> type[APIRoute]:
    """Routes that ask the gate before anything of the body is read."""

    class GatedRoute(APIRoute):
        """Refuses first, then bounds the body, then reads it."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_gated(request: Request) -> Response:
                gate(request)
                _check_length(request)
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    raise HTTPException(422, in_words(error)) from error

            return handle_gated

    return GatedRoute


def build_admin_router(fleet: FleetOrders, key: str | None) -> APIRouter:
    """The routes that change the fleet."""
    router = APIRouter(tags=["admin"], route_class=gated_route(AdminGate(key)))
    paths = {
        "/api/replicas": Order.ADD,
        **{f"/api/replicas/{order.value}": order for order in Order if order is not Order.ADD},
    }
    for path, order in paths.items():
        router.add_api_route(path, _endpoint(fleet, order), methods=["POST"], name=order.value)
    return router


def _endpoint(fleet: FleetOrders, order: Order) -> Callable[[str], Awaitable[Response]]:
    async def give(address: Address) -> Response:
        try:
            fleet.apply(order, address)
        except RefusedAddress as error:
            raise HTTPException(400, str(error)) from error
        except UnknownReplica as error:
            raise HTTPException(404, str(error)) from error
        return Response(status_code=204)

    return give


def in_words(error: RequestValidationError) -> str:
    """What is wrong with a request, without what it said.

    FastAPI's own answer quotes the value, and breaks where that is ``NaN`` or ``Infinity``: its
    reader takes them, its writer does not.
    """
    told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return "; ".join(told)


def _check_length(request: Request) -> None:
    """An order is short and says how long it is."""
    if "transfer-encoding" in request.headers:
        raise HTTPException(411, "a content-length is needed")
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length) > _MAX_BODY_BYTES:
        raise HTTPException(413, f"the body is larger than {_MAX_BODY_BYTES} bytes")


def _given_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


def _is_local(request: Request) -> bool:
    """From a loopback address, addressed to one, and not sent on by a proxy.

    The host counts because a browser's page may reach a loopback port through a name that it made
    point there.
    """
    if any(name in request.headers for name in _FORWARDED):
        return False
    client = request.client
    host = request.url.hostname or ""
    return client is not None and is_loopback(client.host) and is_loopback(host)
