"""What all requests of one proxy share."""

from dataclasses import dataclass, field

from retry_proxy.call_sink import CallSink
from retry_proxy.config import ProxyConfig
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.events import EventSink
from retry_proxy.fleet.fleet import Fleet
from retry_proxy.headers import Headers
from retry_proxy.stream.running import Running
from retry_proxy.stream.text_tail import TextSink
from retry_proxy.trace_context import TraceContext, Tracing
from retry_proxy.watch import BuildPanel


@dataclass(frozen=True, slots=True)
class Services:
    """Made once, at start."""

    config: ProxyConfig
    fleet: Fleet
    sink: EventSink
    budget: RetryBudget
    policy: ReleasePolicy
    build_panel: BuildPanel
    text_sink: TextSink | None = None  # without one no text is kept
    call_sink: CallSink | None = None  # only while traffic is recorded
    tracing: Tracing | None = None
    running: Running = field(default_factory=Running)

    def begin_trace(self, headers: Headers, request_id: str) -> TraceContext | None:
        """The span of a new request, where requests are traced."""
        return None if self.tracing is None else self.tracing.begin(headers, request_id)
