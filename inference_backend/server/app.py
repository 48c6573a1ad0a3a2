"""The FastAPI app of one replica.

It speaks SGLang's native API and the OpenAI API. One difference is on purpose: stock SGLang puts
the speculation counters (``spec_*``) only on the last chunk of a stream, this server puts them on
every chunk, cumulative, together with ``completion_tokens``. A step whose text is held back (half
a character, the start of a stop string) still sends its chunk, with empty text.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from inference_backend.server.drills import build_drill_router
from inference_backend.server.failures import native_error, openai_error
from inference_backend.server.generation import GenerationRoute
from inference_backend.server.info import build_info_router, package_version
from inference_backend.server.jobs import Jobs
from inference_backend.server.ports import Generator, ServedModel
from inference_backend.server.sanitizer_details import build_sanitizer_router
from inference_backend.server.tokenizer import HubTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    service: Generator,
    tokenizer: "PreTrainedTokenizerBase",
    model: ServedModel,
    admin_key: str | None = None,
    *,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Builds the app around an engine; the caller starts and stops the engine.

    ``lifespan``: what lives as long as the web server.
    """
    text = HubTokenizer(tokenizer)
    jobs = Jobs(text, model)
    app = FastAPI(
        title="specwatch backend",
        version=package_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    for path, read_job, error_format in (
        ("/generate", jobs.of_native, native_error),
        ("/v1/chat/completions", jobs.of_chat, openai_error),
        ("/v1/completions", jobs.of_completion, openai_error),
    ):
        route = GenerationRoute(service, text, read_job, error_format)
        app.router.routes.append(Route(path, route, methods=["POST"]))
    app.include_router(build_info_router(service, model))
    app.include_router(build_drill_router(service, admin_key))
    app.include_router(build_sanitizer_router(service, admin_key))
    app.add_exception_handler(HTTPException, answer_http_error)
    return app


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths, wrong methods and refused keys, in the schema of the other errors."""
    assert isinstance(error, HTTPException)
    fields = {
        "message": error.detail,
        "type": "invalid_request_error",
        "param": None,
        "code": error.status_code,
    }
    return JSONResponse({"error": fields}, error.status_code, error.headers)
