"""Shows an answer to the default panel as it streams. No I/O.

Nothing is stopped: the answer goes on after a finding, so that its damage can be counted.
"""

from collections.abc import Callable, Mapping

import msgspec

from detectors.acceptance.library import packaged_baselines
from detectors.panel import Panel
from detectors.panels import DefaultPanel
from detectors.verdict import Verdict
from monitor.traffic.schedule import Planned
from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.sglang_reader import GenerateReader
from retry_proxy.errors import UpstreamError
from retry_proxy.stream.sse import SseParser

_MAX_EVENT_BYTES = 16 * 1024 * 1024


class Listener:
    """One answer of ``/generate``.

    Attributes:
        verdict: the first finding; what comes after it is not looked at.
    """

    def __init__(self, profile: EngineProfile, panel: Panel) -> None:
        self._parser = SseParser(_MAX_EVENT_BYTES)
        self._reader = GenerateReader(profile)
        self._panel = panel
        self._is_over = False
        self.verdict: Verdict | None = None

    def hear(self, data: bytes) -> None:
        """Bytes of the body. One that is no stream of answers is for the sender to tell."""
        if self._is_over or self.verdict is not None:
            return
        try:
            for event in self._parser.feed(data):
                if event.data is not None and event.data != b"[DONE]":
                    self._look(event.data, event.raw)
        except (UpstreamError, msgspec.DecodeError):
            self._is_over = True

    def _look(self, data: bytes, raw: bytes) -> None:
        piece = self._reader.read(msgspec.json.decode(data), raw)
        if self.verdict is None:
            self.verdict = self._panel.update(piece.observation)


class Listeners:
    """Those of one run, by the request's number."""

    def __init__(self, profile: EngineProfile) -> None:
        self._profile = profile
        self._baselines = packaged_baselines()
        self._by_number: dict[int, Listener] = {}

    def listen(self, planned: Planned) -> Callable[[bytes], None]:
        """What hears the bytes of its answer."""
        model = self._profile.models[0] if self._profile.models else None
        temperature = planned.request.sampling.get("temperature")
        baselines = self._baselines.find(model, self._profile.name, temperature)
        listener = Listener(self._profile, DefaultPanel(baselines=baselines))
        self._by_number[planned.number] = listener
        return listener.hear

    def verdicts(self) -> Mapping[int, Verdict]:
        """The findings so far."""
        return {
            number: listener.verdict
            for number, listener in self._by_number.items()
            if listener.verdict is not None
        }
