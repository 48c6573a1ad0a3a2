"""The KV sanitizer's findings in JSON: in ``meta_info`` when asked for, and on /kv_sanitizer."""

from typing import Any

from fastapi import APIRouter, Depends

from inference_backend.kv.labels import Corruption, KvLabels
from inference_backend.kv.sanitizer import SanitizerRecord
from inference_backend.server.drills import require_key
from inference_backend.server.ports import Generator


def sanitizer_fields(labels: KvLabels | None) -> dict[str, Any]:
    """Tokens by kind, where they began in the answer, and who wrote what should not be there."""
    tokens = {} if labels is None else labels.tokens
    return {
        **{kind.value: tokens.get(kind, 0) for kind in Corruption},
        "first_token": None if labels is None else labels.first_token,
        "writers": []
        if labels is None
        else [{"rid": writer.request_id, "by": writer.by} for writer in labels.writers],
    }


def build_sanitizer_router(service: Generator, admin_key: str | None) -> APIRouter:
    """GET /kv_sanitizer: the last generations that read wrong cache. Needs the admin key."""
    router = APIRouter(dependencies=[Depends(require_key(admin_key))])

    @router.get("/kv_sanitizer")
    async def read_records() -> dict[str, Any]:
        return {"records": [record_fields(record) for record in service.sanitizer_records()]}

    return router


def record_fields(record: SanitizerRecord) -> dict[str, Any]:
    return {
        "rid": record.request_id,
        "completion_tokens": record.completion_tokens,
        "finish_reason": record.finish_reason,
        **sanitizer_fields(record.labels),
    }
