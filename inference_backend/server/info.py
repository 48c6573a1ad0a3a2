"""Routes that tell about the server, and the abort. None of them is on a stream's path."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from inference_backend.errors import InvalidRequest
from inference_backend.server.failures import native_error
from inference_backend.server.metrics import build_registry
from inference_backend.server.ports import Generator, Role, ServedModel
from inference_backend.server.wire import AbortBody, decode_body


def build_info_router(service: Generator, model: ServedModel) -> APIRouter:
    """/v1/models, /health, /ready, /server_info, /metrics and /abort_request."""
    router = APIRouter()
    registry = build_registry(service.snapshot, model.name)

    @router.get("/health")
    @router.get("/ready")
    async def health() -> Response:
        """200 while the engine's loop runs, 503 otherwise. Costs no generation, unlike SGLang's.

        Ranks that compute together are told of: fewer are slower, and hold more each.
        """
        snapshot = service.snapshot()
        status = 200 if snapshot.is_alive else 503
        if snapshot.ranks is None:
            return Response(status_code=status)
        ranks = snapshot.ranks
        return JSONResponse({"ranks": ranks.left, "ranks_started": ranks.started}, status)

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model_fields(model)]}

    @router.get("/server_info")
    @router.get("/get_server_info")
    async def server_info() -> dict[str, Any]:
        return server_fields(service, model)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @router.post("/abort_request")
    async def abort_request(request: Request) -> Response:
        """Aborts every generation whose id begins with ``rid``. Unknown ids are no error."""
        try:
            body = decode_body(await request.body(), AbortBody)
        except InvalidRequest as error:
            return Response(native_error(error), status_code=400, media_type="application/json")
        return JSONResponse({"aborted": abort(service, body)})

    return router


def abort(service: Generator, body: AbortBody) -> int:
    """An empty ``rid`` is a prefix of every id, but aborts nothing: that is ``abort_all``."""
    if body.abort_all:
        return service.abort_all()
    return service.abort(body.rid) if body.rid else 0


def model_fields(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "specwatch",
        "root": model.name,
        "parent": None,
        "max_model_len": model.max_context,
    }


def server_fields(service: Generator, model: ServedModel) -> dict[str, Any]:
    """Names as in SGLang where it has one."""
    snapshot = service.snapshot()
    return {
        "version": package_version(),
        "engine": "specwatch",
        "served_model_name": model.name,
        "context_length": model.max_context,
        "vocab_size": model.vocab_size,
        "speculative_algorithm": "MTP" if snapshot.num_drafts else None,
        "speculative_num_steps": snapshot.num_drafts,
        "speculative_num_draft_tokens": snapshot.num_drafts + 1,
        "speculative_eagle_topk": 1,
        "kv_pages": snapshot.pages_total,
        "disaggregation_mode": "null" if model.role is Role.UNIFIED else model.role.value,
    }


def package_version() -> str:
    try:
        return version("specwatch")
    except PackageNotFoundError:
        return "0.0.0+source"
