"""/faults: switches the damage of drills on and off, tells what was damaged. Needs a key."""

import hmac
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from inference_backend.engine.faults import FaultKind, FaultPlan, FaultRecord
from inference_backend.errors import InvalidRequest
from inference_backend.server.failures import native_error
from inference_backend.server.ports import Generator
from inference_backend.server.wire import decode_body

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class FaultBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /faults. ``kind: null`` switches the damage off."""

    kind: FaultKind | None
    rate: Share = 1.0
    page_share: Share = 0.5
    layer_share: Share = 0.5
    after_tokens: Annotated[int, msgspec.Meta(ge=0)] = 16
    seed: int | None = None


def build_drill_router(service: Generator, admin_key: str | None) -> APIRouter:
    """GET and POST /faults, both only with ``Authorization: Bearer`` and the server's admin key."""
    router = APIRouter(dependencies=[Depends(require_key(admin_key))])

    @router.get("/faults")
    async def read_faults() -> dict[str, Any]:
        plan = service.faults()
        records = [record_fields(record) for record in service.fault_records()]
        return {"plan": None if plan is None else plan_fields(plan), "records": records}

    @router.post("/faults")
    async def change_faults(request: Request) -> Response:
        try:
            plan = read_plan(decode_body(await request.body(), FaultBody))
            service.set_faults(plan)
        except InvalidRequest as error:
            return Response(native_error(error), status_code=400, media_type="application/json")
        return JSONResponse({"plan": None if plan is None else plan_fields(plan)})

    return router


def require_key(admin_key: str | None) -> Any:
    """A dependency: 403 if the server has no key, 401 unless the request carries it."""

    def check(request: Request) -> None:
        if not admin_key:
            raise HTTPException(403, "drills are off: start the server with --admin-key")
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {admin_key}".encode()):
            raise HTTPException(401, "wrong or missing admin key", {"www-authenticate": "Bearer"})

    return check


def read_plan(body: FaultBody) -> FaultPlan | None:
    if body.kind is None:
        return None
    return FaultPlan(
        kind=body.kind,
        rate=body.rate,
        page_share=body.page_share,
        layer_share=body.layer_share,
        after_tokens=body.after_tokens,
        seed=body.seed,
    )


def plan_fields(plan: FaultPlan) -> dict[str, Any]:
    return {
        "kind": plan.kind.value,
        "rate": plan.rate,
        "page_share": plan.page_share,
        "layer_share": plan.layer_share,
        "after_tokens": plan.after_tokens,
        "seed": plan.seed,
    }


def record_fields(record: FaultRecord) -> dict[str, Any]:
    return {
        "rid": record.request_id,
        "kind": record.kind.value,
        "damaged_from_token": record.damaged_from_token,
        "completion_tokens": record.completion_tokens,
        "finish_reason": record.finish_reason,
    }
