"""Which detectors look at a recording."""

from dataclasses import dataclass, field

from detectors.acceptance.calibrated import CalibratedAcceptance
from detectors.acceptance.library import BaselineLibrary, ByDrafts, packaged_baselines
from detectors.detector import Detector
from detectors.draft_health import DraftState
from detectors.fusion.weights import FusionWeights, packaged_weights
from detectors.panel import Panel
from detectors.panels import DefaultPanel, published_panel
from detectors.repetition import Repetition
from detectors.text.gibberish import Gibberish
from monitor.offline.recording import Recording
from retry_proxy.config import PanelName


@dataclass(frozen=True, slots=True)
class Panels:
    """Makes a fresh panel for each recording, with the baseline of its model and engine.

    Attributes:
        weights: of the fusion.
        state: what is known of the drafter of the replica that wrote the recordings.
    """

    choice: PanelName = PanelName.DEFAULT
    baselines: BaselineLibrary = field(default_factory=packaged_baselines)
    weights: FusionWeights = field(default_factory=packaged_weights)
    state: DraftState = DraftState.UNKNOWN

    def panel(self, record: Recording) -> Panel:
        """The one chosen."""
        if self.choice is PanelName.PUBLISHED:
            return published_panel()
        return self.default(record)

    def default(self, record: Recording) -> DefaultPanel:
        """All detectors."""
        return DefaultPanel(
            baselines=self._baselines_for(record), weights=self.weights, state=self.state
        )

    def acceptance(self, record: Recording) -> CalibratedAcceptance:
        """The sequential test alone."""
        return CalibratedAcceptance(self._baselines_for(record), state=self.state)

    def _baselines_for(self, record: Recording) -> ByDrafts:
        return self.baselines.find(record.model, record.engine, record.temperature)

    def detectors(self, record: Recording) -> dict[str, Detector]:
        """Those of the default panel that can find something alone, by name."""
        alone: tuple[Detector, ...] = (self.acceptance(record), Repetition(), Gibberish())
        return {detector.name: detector for detector in alone}
