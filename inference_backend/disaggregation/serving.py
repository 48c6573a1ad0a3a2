"""From a replica's options to its role."""

from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import layout_of
from inference_backend.disaggregation.roles import (
    DecodeRole,
    PrefillRole,
    make_decode,
    make_prefill,
)
from inference_backend.disaggregation.shared import SharedTransport
from inference_backend.disaggregation.transport import LocalTransport, Transport
from inference_backend.engine.engine import Engine
from inference_backend.errors import ModelUnavailable
from inference_backend.server.options import BackendOptions


def make_role(engine: Engine, options: BackendOptions) -> PrefillRole | DecodeRole | None:
    """``None`` for an engine that does both.

    Raises:
        ModelUnavailable: the transport cannot be used here.
    """
    if options.role == "unified":
        return None
    store = engine.runner.store
    layout = layout_of(store, engine.runner.model.shape.name)
    transport = make_transport(engine, options)
    if options.role == "prefill":
        return make_prefill(engine, transport, layout, options.bootstrap_seconds)
    protocol = AbortProtocol(options.abort_protocol)
    return make_decode(engine, transport, layout, protocol, options.prefill_budget_seconds)


def make_transport(engine: Engine, options: BackendOptions) -> Transport:
    store = engine.runner.store
    if options.transport == "local":
        return LocalTransport(store)
    if options.transport == "shared":
        return SharedTransport(store)
    from inference_backend.disaggregation.mooncake import MooncakeTransport  # noqa: PLC0415

    return MooncakeTransport(store, options.host)


async def start_role(role: PrefillRole | DecodeRole, options: BackendOptions) -> None:
    """Starts the connections in the running loop.

    Raises:
        ModelUnavailable: the bootstrap port is taken.
    """
    if isinstance(role, DecodeRole):
        role.link.start()
        return
    try:
        await role.link.start(options.host, options.bootstrap_port)
    except OSError as error:
        raise ModelUnavailable(
            f"--bootstrap-port {options.bootstrap_port} on {options.host}: {error.strerror}"
        ) from error
