"""Composes one replica: model, engine, app, web server. Returns when it was told to stop."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import torch
import uvicorn

from inference_backend.disaggregation.roles import DecodeRole, PrefillRole
from inference_backend.disaggregation.serving import make_role, start_role
from inference_backend.engine.build import build_engine
from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.engine.options import EngineOptions
from inference_backend.engine.service import EngineService
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.model.progress import ProgressBar
from inference_backend.model.source import load_model_files
from inference_backend.model.weights import load_tokenizer, load_weights
from inference_backend.parallel.owners import KvLayout
from inference_backend.parallel.processes import leading
from inference_backend.server.app import Lifespan, build_app
from inference_backend.server.options import BackendOptions
from inference_backend.server.ports import Role, ServedModel

if TYPE_CHECKING:
    from fastapi import FastAPI

    from inference_backend.model.shape import LlamaShape
    from inference_backend.model.source import ModelFolder
    from inference_backend.model.weights import LoadedWeights

ENGINE_STOP_SECONDS = 5.0


def run(options: BackendOptions) -> None:
    """Serves until SIGINT or SIGTERM; running answers then get ``shutdown_seconds`` to end.

    Raises:
        BackendError: the model cannot be loaded, or the options do not fit it or the machine.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    with ProgressBar() as progress:
        folder = load_model_files(options.model, progress)
    weights = load_weights(folder)
    tokenizer = load_tokenizer(folder)
    with engine_and_role(weights, folder, options) as (engine, role):
        service = EngineService(engine, options.max_waiting)
        service.set_faults(fault_plan(options))
        service.gate = role
        model = served_model(weights.config, options, service.snapshot().max_context)
        live = lifespan(role, options)
        app = build_app(service, tokenizer, model, options.admin_key, lifespan=live)
        service.start()
        try:
            serve(app, options)
        finally:
            service.stop(ENGINE_STOP_SECONDS)


@contextmanager
def engine_and_role(
    weights: "LoadedWeights", folder: "ModelFolder", options: BackendOptions
) -> Iterator[tuple[Engine, PrefillRole | DecodeRole | None]]:
    """The engine, with the processes of its other ranks if it has any."""
    if options.prefill_ranks == 1:
        engine = build_engine(weights, engine_options(options))
        yield engine, make_role(engine, options)
        return
    layout = KvLayout.SPLIT if options.kv_layout == "layersplit" else KvLayout.REPLICATED
    ranks, threads = options.prefill_ranks, options.threads
    with leading(weights, folder, engine_options(options), ranks, layout, threads) as group:
        yield group.leader.engine, group.prefill_role(options.bootstrap_seconds)


def lifespan(role: PrefillRole | DecodeRole | None, options: BackendOptions) -> Lifespan:
    """The role's connections live as long as the web server's loop."""

    @asynccontextmanager
    async def live(_: "FastAPI") -> AsyncIterator[None]:
        if role is None:
            yield
            return
        await start_role(role, options)
        try:
            yield
        finally:
            await role.stop()

    return live


def serve(app: "FastAPI", options: BackendOptions) -> None:
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level=options.log_level,
        access_log=False,  # a line a request costs more than the request's own work in the server
        timeout_graceful_shutdown=round(options.shutdown_seconds),
    )


def engine_options(options: BackendOptions) -> EngineOptions:
    return EngineOptions(
        device=options.device,
        dtype=options.dtype,
        num_drafts=options.num_drafts,
        page_size=options.page_size,
        kv_tokens=options.kv_tokens,
        max_running=options.max_running,
        chunk_tokens=options.chunk_tokens,
        max_waiting=options.max_waiting,
        draft_head=options.draft_head,
        draft_vocabulary=options.draft_vocabulary or None,
        cuda_graphs=options.cuda_graphs,
        sanitizer=SanitizerMode(options.kv_sanitizer),
        attention=options.attention,
        index_topk=options.index_topk,
        indexer=options.indexer,
        host_kv_tokens=options.host_kv_tokens,
        load_sync=LoadSync(options.load_sync),
    )


def fault_plan(options: BackendOptions) -> FaultPlan | None:
    if options.fault is None:
        return None
    return FaultPlan(kind=FaultKind(options.fault), rate=options.fault_rate)


def served_model(shape: "LlamaShape", options: BackendOptions, engine_context: int) -> ServedModel:
    """The context is the model's, or less if the KV cache cannot hold that much."""
    return ServedModel(
        name=options.served_name or shape.name,
        max_context=min(shape.max_context, engine_context),
        vocab_size=shape.vocab_size,
        created=int(time.time()),
        role=Role(options.role),
    )
