"""What all requests of one proxy share."""

from dataclasses import dataclass, field

from retry_proxy.call_sink import CallSink
from retry_proxy.config import ProxyConfig
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.events import EventSink
from retry_proxy.fleet.fleet import Fleet
from retry_proxy.stream.running import Running
from retry_proxy.stream.text_tail import TextSink
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
    running: Running = field(default_factory=Running)
