"""Which detectors watch an attempt: the panel for a model on an engine, as configured."""

from collections.abc import Callable
from dataclasses import dataclass, field

from detectors.acceptance.library import BaselineLibrary, packaged_baselines
from detectors.draft_health import DraftState
from detectors.fusion.weights import FusionWeights, packaged_weights
from detectors.panel import Panel
from detectors.panels import DefaultPanel, published_panel
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.call import GenerationCall


@dataclass(slots=True)
class Learned:
    """What was learned from traffic, and read at start.

    Attributes:
        baselines: healthy acceptance by model and engine; others may come while requests run, and
            serve the attempts that begin then.
        weights: of the fusion.
    """

    baselines: BaselineLibrary = field(default_factory=packaged_baselines)
    weights: FusionWeights = field(default_factory=packaged_weights)


BuildPanel = Callable[[EngineProfile, GenerationCall, DraftState], Panel]
"""A fresh panel for a replica's engine, what was asked for, and the drafter's state."""


class PanelBuilder:
    """Makes the panel of one attempt."""

    def __init__(self, config: ProxyConfig, learned: Learned) -> None:
        self._config = config
        self._learned = learned

    def build(self, profile: EngineProfile, call: GenerationCall, state: DraftState) -> Panel:
        """A fresh panel.

        Args:
            profile: of the replica; the model it serves goes before the one that was asked for,
                which is often an alias.
            call: names the model, perhaps, and the temperature.
            state: what is known of the replica's drafter.
        """
        config = self._config
        if config.panel is PanelName.PUBLISHED:
            return published_panel(config.thresholds)
        find = self._learned.baselines.find
        names = dict.fromkeys((call.model, *profile.models[:1]))
        hits = (find(name, profile.name, call.temperature) for name in names)
        found = next((hit for hit in hits if hit), {})
        return DefaultPanel(
            baselines=found,
            weights=self._learned.weights,
            false_alarm_bound=config.false_alarm_bound,
            state=state,
            thresholds=config.thresholds,
        )
