"""The retry budget over HTTP: what is left of it, and other bounds until the process ends."""

import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response

from monitor.admin_api import AdminGate, ReadGate, gated_route
from retry_proxy.decide.budget import RetryBudget


class Bounds(msgspec.Struct, frozen=True):
    """What is asked for: retries for each request, and the floor of all proxies together."""

    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)]
    min_per_second: Annotated[float, msgspec.Meta(ge=0, le=100_000)]


def build_budget_router(budget: RetryBudget, key: str | None) -> APIRouter:
    """Two routes: one to look, one that takes the admin key to change it."""
    router = APIRouter(tags=["admin"])
    read = APIRouter(route_class=gated_route(ReadGate(key)))
    change = APIRouter(route_class=gated_route(AdminGate(key)))

    @read.get("/api/budget")
    async def look() -> Response:
        """Its bounds, and how many retries it would allow now."""
        return Response(msgspec.json.encode(told(budget)), media_type="application/json")

    @change.post("/api/budget")
    async def set_bounds(request: Request) -> Response:
        """Other bounds, for this process."""
        bounds = read_bounds(request.headers.get("content-type", ""), await request.body())
        budget.change(ratio=bounds.ratio, min_per_second=bounds.min_per_second)
        return Response(status_code=204)

    router.include_router(read)
    router.include_router(change)
    return router


def told(budget: RetryBudget) -> dict[str, float]:
    """What is said of it."""
    return {
        "left": round(budget.left(time.monotonic()), 2),
        "ratio": budget.ratio,
        "min_per_second": budget.min_per_second,
    }


def read_bounds(content_type: str, body: bytes) -> Bounds:
    """The bounds in a body.

    FastAPI's own reader takes ``Infinity`` and then cannot write the refusal.

    Raises:
        HTTPException: 415 for what a form of another site could send, 422 for what are no bounds.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    try:
        return msgspec.json.decode(body, type=Bounds)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(422, str(error)) from error
