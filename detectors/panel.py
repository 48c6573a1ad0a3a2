"""The detectors of one attempt.

Fails open: a detector that crashes is counted and retired, the stream goes on.
"""

from collections.abc import Callable, Collection, Sequence

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.token_estimate import TokenEstimate
from detectors.verdict import Verdict


class Panel:
    """Shows each observation to every detector; the first verdict counts.

    Args:
        only_on_steps: those among them that look at nothing but acceptance: they are spared an
            observation that counts neither steps nor tokens.
    """

    __slots__ = ("_detectors", "_estimate", "_tokens", "_without_steps", "crashed")

    def __init__(
        self, detectors: Sequence[Detector], only_on_steps: Collection[Detector] = ()
    ) -> None:
        self._detectors = list(detectors)
        self._without_steps = self._detectors
        if only_on_steps:
            self._without_steps = [one for one in detectors if one not in only_on_steps]
        self._tokens = 0
        self._estimate: TokenEstimate | None = None  # where the engine tells no counts
        self.crashed: list[str] = []

    @property
    def tokens(self) -> int:
        """Tokens generated so far."""
        return self._tokens

    @property
    def is_watching(self) -> bool:
        """Some detector's statistic is past its watch level."""
        is_watching = False
        for detector in self._detectors:
            try:
                if detector.is_watching:
                    is_watching = True
            except Exception:  # supervisor: a detector's bug must not cost the client its answer
                self._retire(detector)
        return is_watching

    def update(self, observation: Observation) -> Verdict | None:
        """Returns the first verdict in the order of the detectors; all see the observation."""
        if observation.new_tokens is not None:
            self._tokens += observation.new_tokens
        elif observation.estimated_tokens is not None:
            self._tokens += observation.estimated_tokens
        elif observation.text:
            self._estimate = self._estimate or TokenEstimate()
            self._tokens += self._estimate.push(observation.text)
        found: Verdict | None = None
        is_text_only = observation.new_tokens is observation.steps is None
        for detector in self._without_steps if is_text_only else self._detectors:
            try:
                verdict = detector.update(observation, self._tokens)
            except Exception:  # supervisor, as above
                self._retire(detector)
                continue
            if verdict is not None and found is None:
                found = verdict
        return found

    def wrap(self, wrapper: Callable[[Detector], Detector]) -> None:
        """Puts something around each detector; who does that knows why."""
        wrapped = {id(one): wrapper(one) for one in self._detectors}
        self._without_steps = [wrapped[id(one)] for one in self._without_steps]
        self._detectors = [wrapped[id(one)] for one in self._detectors]

    def _retire(self, detector: Detector) -> None:
        self.crashed.append(detector.name)
        self._detectors = [each for each in self._detectors if each is not detector]
        self._without_steps = [each for each in self._without_steps if each is not detector]
