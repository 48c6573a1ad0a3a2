"""One replica of the tiny model, served as the real ones are, in a process of its own.

Its pages go over Mooncake. Writes can be made slow, so that a process can be killed between them.
"""

import time
from typing import Any

import torch

from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import Memory, layout_of
from inference_backend.disaggregation.mooncake import MooncakeTransport
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.disaggregation.roles import make_decode, make_prefill
from inference_backend.disaggregation.shared import SharedTransport
from inference_backend.disaggregation.transport import Ready, RemotePages, Transport
from inference_backend.engine.service import EngineService
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.server.app import build_app
from inference_backend.server.main import lifespan, serve, served_model
from inference_backend.server.options import BackendOptions
from tests.fakes.byte_tokenizer import build_byte_tokenizer
from tests.fakes.tiny_model import SHAPE, tiny_engine

PAGES = 256


class SlowPages:
    """Every layer's write begins so much later."""

    def __init__(self, inner: RemotePages, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds

    def write(self, layer: int, move: PageMove, ready: Ready) -> None:
        time.sleep(self._seconds)
        self._inner.write(layer, move, ready)

    def write_tails(self, move: PageMove, ready: Ready) -> None:
        self._inner.write_tails(move, ready)

    def close(self) -> None:
        self._inner.close()


class SlowMooncake(MooncakeTransport):
    write_seconds = 0.0

    def reach(self, memory: Memory) -> Any:
        return SlowPages(super().reach(memory), self.write_seconds)


def run(options: BackendOptions, write_seconds: float) -> None:
    """Serves until it is killed."""
    SlowMooncake.write_seconds = write_seconds
    torch.set_num_threads(1)
    engine = tiny_engine(sanitizer=SanitizerMode.RECORD, pages=PAGES, chunk_tokens=16)
    store = engine.runner.store
    transport: Transport = (
        SharedTransport(store)
        if options.transport == "shared"
        else SlowMooncake(store, options.host)
    )
    layout = layout_of(store, "tiny")
    service = EngineService(engine, 64)
    if options.role == "prefill":
        role: Any = make_prefill(engine, transport, layout, options.bootstrap_seconds)
    else:
        budget = options.prefill_budget_seconds
        role = make_decode(engine, transport, layout, AbortProtocol.CONFIRM, budget)
    service.gate = role
    model = served_model(SHAPE, options, service.snapshot().max_context)
    app = build_app(service, build_byte_tokenizer(), model, lifespan=lifespan(role, options))
    service.start()
    try:
        serve(app, options)
    finally:
        service.stop(5.0)
