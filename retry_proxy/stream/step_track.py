"""Accepted drafts of each step of one attempt, as far as its engine tells them. Bounded."""

from detectors.observation import Observation
from retry_proxy.events import StepsQuality

_MAX_KEPT_STEPS = 2048
_MOST_IN_A_BYTE = 255


class StepTrack:
    """The last 1,024 to 2,048 steps.

    Attributes:
        exact: drafts accepted in each step that the engine told by itself, a byte a step: healthy
            acceptance can be learned from these.
    """

    __slots__ = ("_kept", "_plain", "_quality", "exact")

    def __init__(self) -> None:
        self.exact = bytearray()
        self._kept = self.exact  # all steps; another array once one was not exact
        self._quality = StepsQuality.EXACT
        self._plain: bool | None = False  # what ``is_upper_bound`` is of a step that goes to one

    def note(self, seen: Observation) -> None:
        """Keeps what one chunk told."""
        accepted = seen.accepted
        if accepted is None:
            return
        steps = seen.steps
        if steps == 1 and seen.is_upper_bound is self._plain:
            kept = self._kept
            kept.append(accepted if accepted < _MOST_IN_A_BYTE else _MOST_IN_A_BYTE)
            if len(kept) > _MAX_KEPT_STEPS:
                _make_room(kept)
        elif steps:
            self._note_other(seen, steps, accepted)

    def recent(self) -> tuple[bytes, StepsQuality]:
        """The last steps, oldest first, and how they are known."""
        return bytes(self._kept), self._quality

    def _note_other(self, seen: Observation, steps: int, accepted: int) -> None:
        if self._kept is self.exact:
            self._kept = bytearray(self.exact)
        if seen.is_upper_bound:
            self._quality, self._plain = StepsQuality.UPPER_BOUND, True
        elif steps == 1:
            self.exact.append(min(accepted, _MOST_IN_A_BYTE))
            _make_room(self.exact)
        elif self._quality is StepsQuality.EXACT:
            self._quality, self._plain = StepsQuality.MERGED, None
        self._kept += spread(min(steps, _MAX_KEPT_STEPS), accepted)
        _make_room(self._kept)


def spread(steps: int, accepted: int) -> bytes:
    """So many accepted drafts over steps that came together, as evenly as they can be."""
    each, rest = divmod(max(accepted, 0), steps)
    more, less = min(each + 1, _MOST_IN_A_BYTE), min(each, _MOST_IN_A_BYTE)
    return bytes([more] * rest + [less] * (steps - rest))


def _make_room(kept: bytearray) -> None:
    if len(kept) > _MAX_KEPT_STEPS:
        del kept[: len(kept) - _MAX_KEPT_STEPS // 2]
