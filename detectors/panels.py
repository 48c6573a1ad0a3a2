"""The panels there are: all detectors with their fusion, and the published rule alone."""

from detectors.acceptance.agreed import Agreed
from detectors.acceptance.calibrated import DEFAULT_BOUND, CalibratedAcceptance
from detectors.acceptance.library import NO_BASELINES, ByDrafts
from detectors.acceptance.published import AcceptanceThresholds, HighAcceptance, LowAcceptance
from detectors.detector import Detector
from detectors.draft_health import DraftState
from detectors.fusion.fusion import Fusion
from detectors.fusion.weights import FusionWeights, packaged_weights
from detectors.panel import Panel
from detectors.repetition import Repetition
from detectors.text.gibberish import Gibberish

_PUBLISHED = AcceptanceThresholds()


class DefaultPanel(Panel):
    """Acceptance, repetition and text, each alone where it is sure, and their fusion.

    Args:
        baselines: of the model and engine, by the number of drafts. Without any, the published
            thresholds apply as well, each with a second witness.
        weights: of the fusion.
        false_alarm_bound: probability that low acceptance alone ever stops a healthy request.
        state: what the replica's other streams say about its drafter.
    """

    __slots__ = ("acceptance", "fusion", "repetition", "text")

    def __init__(
        self,
        *,
        baselines: ByDrafts = NO_BASELINES,
        weights: FusionWeights | None = None,
        false_alarm_bound: float = DEFAULT_BOUND,
        state: DraftState = DraftState.UNKNOWN,
        thresholds: AcceptanceThresholds = _PUBLISHED,
    ) -> None:
        self.repetition = Repetition()
        self.acceptance = CalibratedAcceptance(
            baselines, bound=false_alarm_bound, state=state, repetition=self.repetition
        )
        # A damaged cache shows in the drafts: odd text whose drafts are accepted as usual is what
        # the model means to write.
        self.text = Gibberish(witness=self.acceptance)
        self.fusion = Fusion(
            packaged_weights() if weights is None else weights,
            self.acceptance,
            self.repetition,
            self.text,
        )
        # Acceptance reads repetition, the fusion reads all: each comes after what it reads.
        detectors: list[Detector] = [self.repetition, self.acceptance, self.text, self.fusion]
        published = [] if baselines else self._published(thresholds)
        super().__init__([*detectors, *published], only_on_steps=published)

    def _published(self, thresholds: AcceptanceThresholds) -> list[Detector]:
        # Names, not ``self``: a cycle would wait for the collector.
        acceptance, repetition, fusion = self.acceptance, self.repetition, self.fusion
        return [
            Agreed(
                LowAcceptance(thresholds), lambda: acceptance.is_believed or fusion.is_text_suspect
            ),
            Agreed(HighAcceptance(thresholds, repetition), lambda: repetition.period is not None),
        ]


def published_panel(thresholds: AcceptanceThresholds = _PUBLISHED) -> Panel:
    """The two published thresholds, as published."""
    return Panel([LowAcceptance(thresholds), HighAcceptance(thresholds)])
