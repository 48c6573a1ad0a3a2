"""Whether and where spans go, and the end of it. The SDK's thread sends them, in batches.

Its queue is bounded: with a collector that is away or slow, spans are lost, and nothing waits.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from monitor.errors import InvalidOptions
from retry_proxy.events import Event, EventSink

if TYPE_CHECKING:
    from monitor.tracing.spans import SpanWriter

SHUTDOWN_SECONDS = 2.0
_HINT = "spans need OpenTelemetry's exporter: pip install 'specwatch[otel]'"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

logger = logging.getLogger("specwatch.tracing")


class Tracer:
    """An ``EventSink`` that writes spans of what it passes on."""

    def __init__(self, ahead: EventSink, writer: "SpanWriter") -> None:
        self._ahead = ahead
        self._writer = writer
        self._has_complained = False

    def emit(self, event: Event) -> None:
        """Never blocks, never raises."""
        self._ahead.emit(event)
        try:
            self._writer.write(event)
        except Exception:  # the supervisor of what is not ours: the stream goes on
            if not self._has_complained:
                self._has_complained = True
                logger.exception("a span was lost; further ones are lost in silence")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end what waits is sent, for a moment at most."""
        try:
            yield
        finally:
            # A daemon: a collector that hangs must not hold the process.
            thread = threading.Thread(target=self._writer.shutdown, daemon=True)
            thread.start()
            await asyncio.to_thread(thread.join, SHUTDOWN_SECONDS)


def build_tracer(
    endpoint: str | None, environment: Mapping[str, str], ahead: EventSink
) -> Tracer | None:
    """What writes spans, if somebody named an endpoint.

    Args:
        endpoint: base address of a collector, as ``OTEL_EXPORTER_OTLP_ENDPOINT``; that variable and
            the SDK's others (headers, certificates, time-outs, resource) count as well.

    Raises:
        InvalidOptions: the option is given and what it needs is not installed.
    """
    if not is_wanted(endpoint, environment):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        from monitor.tracing.spans import SpanWriter  # noqa: PLC0415
    except ImportError as error:
        if endpoint is not None:
            raise InvalidOptions(f"otlp_endpoint: {_HINT}") from error
        # The variable is often set for everything in a cluster.
        logger.warning("%s is set and not followed: %s", _ENDPOINTS[1], _HINT)
        return None
    given: dict[str, Any] = {}
    if endpoint is not None:
        given["endpoint"] = endpoint.rstrip("/") + "/v1/traces"
    return Tracer(ahead, SpanWriter(BatchSpanProcessor(OTLPSpanExporter(**given))))


def is_wanted(endpoint: str | None, environment: Mapping[str, str]) -> bool:
    """An option wins over the environment, which can also say no."""
    if endpoint is not None:
        return True
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    if not any(environment.get(name) for name in _ENDPOINTS):
        return False
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), None)
    if protocol not in (None, "http/protobuf"):
        logger.warning("no spans: the environment wants OTLP by %s, not http/protobuf", protocol)
        return False
    return True
