"""Runs a stream of observations past a panel, a detector or a rival, as the proxy does."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.verdict import Verdict


class Watcher(Protocol):
    """A panel, or what stands for one."""

    @property
    def is_watching(self) -> bool: ...

    def update(self, observation: Observation) -> Verdict | None: ...


class Alone:
    """One detector without a panel; counts its tokens."""

    __slots__ = ("_tokens", "detector")

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._tokens = 0

    @property
    def is_watching(self) -> bool:
        return self.detector.is_watching

    def update(self, observation: Observation) -> Verdict | None:
        self._tokens += observation.new_tokens or 0
        return self.detector.update(observation, self._tokens)


@dataclass(frozen=True, slots=True)
class Course:
    """How one stream went.

    Attributes:
        tokens: that were seen: up to the alarm, or all.
        released: tokens that a client would have got under adaptive hold-back: what is out goes
            on while nothing is watching; an alarm drops what is held.
        held: tokens of healthy text that came while something was watching.
        verdict: the first one; the stream ends there.
        steps, accepted, drafted: sums over the seen part, ``None`` where the engine does not say.
    """

    tokens: int
    released: int
    held: int
    verdict: Verdict | None
    steps: int | None
    accepted: int | None
    drafted: int | None


def follow(
    watcher: Watcher, stream: Iterable[Observation], healthy_tokens: int | None = None
) -> Course:
    """Shows ``stream`` to ``watcher`` until the first verdict.

    Args:
        healthy_tokens: from this token on the text is bad; ``None``: all of it is healthy.
    """
    tokens = released = held = 0
    sums: list[int | None] = [None, None, None]
    verdict = None
    for observation in stream:
        new_tokens = observation.new_tokens or 0
        tokens += new_tokens
        numbers = (observation.steps, observation.accepted, observation.drafted)
        sums = [
            was if new is None else (was or 0) + new for was, new in zip(sums, numbers, strict=True)
        ]
        verdict = watcher.update(observation)
        if verdict is not None:
            break
        if not watcher.is_watching:
            released = tokens
        elif healthy_tokens is None or tokens <= healthy_tokens:
            held += new_tokens
    if verdict is None:
        released = tokens  # the answer is over: what was held goes out
    return Course(tokens, released, held, verdict, *sums)
