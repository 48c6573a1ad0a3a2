"""Which detectors look at a recording."""

from dataclasses import dataclass, field

from detectors.acceptance.calibrated import CalibratedAcceptance
from detectors.acceptance.library import BaselineLibrary, packaged_baselines
from detectors.detector import Detector
from detectors.draft_health import DraftState
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
        state: what is known of the drafter of the replica that wrote the recordings.
    """

    choice: PanelName = PanelName.DEFAULT
    baselines: BaselineLibrary = field(default_factory=packaged_baselines)
    state: DraftState = DraftState.UNKNOWN

    def panel(self, record: Recording) -> Panel:
        """The one chosen."""
        if self.choice is PanelName.PUBLISHED:
            return published_panel()
        found = self.baselines.find(record.model, record.engine)
        return DefaultPanel(baselines=found, state=self.state)

    def detectors(self, record: Recording) -> dict[str, Detector]:
        """Those of the default panel that can find something alone, by name."""
        found = self.baselines.find(record.model, record.engine)
        alone: tuple[Detector, ...] = (
            CalibratedAcceptance(found, state=self.state),
            Repetition(),
            Gibberish(),
        )
        return {detector.name: detector for detector in alone}
