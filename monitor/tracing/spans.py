"""Writes events as spans with OpenTelemetry's SDK. Loaded only where tracing is on."""

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from monitor.tracing import attributes
from monitor.version import VERSION
from retry_proxy.events import AttemptEnded, Event, RequestEnded
from retry_proxy.trace_context import TraceContext

_NANOSECONDS = 1_000_000_000


class SpanWriter:
    """Spans of ended attempts and requests, each whole, to one processor.

    Args:
        processor: gets each span at once; must not block.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._ids = _GivenIds()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is not kept does not get here
            resource=Resource.create({"service.name": "specwatch", "service.version": VERSION}),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("specwatch", VERSION)

    def write(self, event: Event) -> None:
        """Nothing for events without a span, or with one that is not kept."""
        if not isinstance(event, AttemptEnded | RequestEnded):
            return
        if event.trace is None or not event.trace.is_sampled:
            return
        if isinstance(event, AttemptEnded):
            name, told = attributes.attempt_name(event), attributes.attempt_attributes(event)
            kind, error = SpanKind.CLIENT, attributes.attempt_error(event)
        else:
            name, told = attributes.request_name(event), attributes.request_attributes(event)
            kind, error = SpanKind.SERVER, attributes.request_error(event)
        self._ids.next = event.trace
        began_at = _nanoseconds(event.started_at)
        span = self._tracer.start_span(name, _parent(event.trace), kind, told, start_time=began_at)
        ended_at = _nanoseconds(event.started_at + event.duration_seconds)
        if isinstance(event, AttemptEnded) and event.verdict is not None:
            # An attempt that is stopped ends with its verdict; of one let through to its end
            # only the token of the alarm is known.
            finding = attributes.verdict_attributes(event.verdict, event.rid)
            span.add_event(attributes.EVALUATION, finding, ended_at)
        if error is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended_at)

    def shutdown(self) -> None:
        """Sends what waits; may block for long."""
        self._provider.shutdown()


class _GivenIds(IdGenerator):
    """The ids that the proxy made: the engines were told them already."""

    next: TraceContext

    def generate_span_id(self) -> int:
        return int(self.next.span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self.next.trace_id, 16)


def _parent(trace: TraceContext) -> Context:
    """A context without a span for a root, never the one that happens to be current."""
    if trace.parent_id is None:
        return Context()
    context = SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        trace.is_remote,
        TraceFlags(trace.flags),
    )
    return api.set_span_in_context(api.NonRecordingSpan(context), Context())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANOSECONDS)
