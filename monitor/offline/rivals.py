"""Rules of others, to compare with: re-implemented from their description, streaming.

They keep what their rule needs, which may be more memory and time than a detector is allowed.
"""

import re
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.token_estimate import cut
from detectors.verdict import AnomalyKind, Verdict

WHISPER_RATIO = 2.4  # openai/whisper, `compression_ratio_threshold`


class Rule:
    """What all rules share: they hold nothing back before they fire."""

    is_watching = False

    def __init__(self, name: str) -> None:
        self.name = name

    def verdict(self, kind: AnomalyKind, score: float, onset: int, tokens: int) -> Verdict:
        """The rule fired."""
        return Verdict(kind, self.name, score, max(0, onset), tokens, self.name)


class TextRule(Rule, ABC):
    """A rule that looks at the last characters from time to time.

    The looks are cut by characters, not by chunks.

    Args:
        every: characters between two looks.
        window: characters of a look.
    """

    def __init__(self, name: str, *, every: int, window: int) -> None:
        super().__init__(name)
        self._every, self._window = every, window
        self._tail = ""
        self._new = 0  # characters at the end of the tail that no look has ended on yet

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        self._tail += observation.text
        self._new += len(observation.text)
        while self._new >= self._every:
            self._new -= self._every
            end = len(self._tail) - self._new
            found = self.look(self._tail[max(0, end - self._window) : end], tokens)
            if found is not None:
                return found
            self._tail = self._tail[max(0, end - self._window) :]
        return None

    @abstractmethod
    def look(self, text: str, tokens: int) -> Verdict | None:
        """What the rule says of one window."""


class RegexRule(TextRule):
    """What operators write first: a character 20 times, a word 10 times, U+FFFD, control codes."""

    PATTERNS = (
        (AnomalyKind.REPETITION, re.compile(r"(\S)\1{19}")),
        (AnomalyKind.REPETITION, re.compile(r"\b(\w+)\b(?:\W{1,3}\1\b){9}")),
        (AnomalyKind.RARE_CHAR, re.compile("\ufffd.{0,40}\ufffd.{0,40}\ufffd", re.DOTALL)),
        (AnomalyKind.RARE_CHAR, re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")),
    )

    def __init__(self) -> None:
        super().__init__("regex", every=32, window=256)

    def look(self, text: str, tokens: int) -> Verdict | None:
        for kind, pattern in self.PATTERNS:
            found = pattern.search(text)
            if found is not None:
                onset = tokens - (len(text) - found.start()) // 4
                return self.verdict(kind, 1.0, onset, tokens)
        return None


class CharacterSetRule(TextRule):
    """More than 30 % of the last 256 characters are beyond ASCII."""

    SHARE = 0.3

    def __init__(self) -> None:
        super().__init__("character set", every=32, window=256)

    def look(self, text: str, tokens: int) -> Verdict | None:
        if text.isascii() or len(text) < self._window:
            return None
        share = 1 - len(text.encode("ascii", "ignore")) / len(text)
        if share <= self.SHARE:
            return None
        return self.verdict(AnomalyKind.RARE_CHAR, share, tokens - len(text) // 4, tokens)


class CompressionRule(Rule):
    """Bytes of the text over its bytes under zlib; Whisper asks it of each whole segment.

    Args:
        window: of how many last bytes; ``None``: of all so far, as Whisper does.
    """

    EVERY = 256  # bytes between two looks
    LEAST = 512  # a shorter text is not looked at

    def __init__(self, ratio: float = WHISPER_RATIO, window: int | None = None) -> None:
        super().__init__(f"zlib {ratio:g}" + (f", last {window} bytes" if window else ""))
        self._ratio = ratio
        self._window = window
        self._least = window or self.LEAST
        self._kept = bytearray()
        self._looked_at = 0  # bytes
        self._seen = 0

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        rest = observation.text.encode("utf-8", "surrogatepass")
        while rest:
            taken, rest = rest[: self._until_look], rest[self._until_look :]
            self._kept += taken
            self._seen += len(taken)
            if self._until_look == 0:
                self._looked_at = self._seen
                ratio = self._measured()
                if ratio > self._ratio:
                    onset = tokens - self._least // 4
                    return self.verdict(AnomalyKind.REPETITION, ratio, onset, tokens)
        return None

    @property
    def _until_look(self) -> int:
        return self._looked_at + self.EVERY - self._seen

    def _measured(self) -> float:
        if self._window is not None:
            del self._kept[: -self._window]
        if len(self._kept) < self._least:
            return 0.0
        return len(self._kept) / len(zlib.compress(self._kept))


class ExactCycleRule(Rule):
    """vLLM's ``repetition_detection``: the last tokens are one pattern, ``count`` times over.

    Tokens are pieces of the text where the ids are not known.

    Args:
        shortest, longest: pattern sizes in tokens (`min_pattern_size`, `max_pattern_size`).
        count: copies (`min_count`).
    """

    def __init__(self, shortest: int, longest: int, count: int = 4) -> None:
        super().__init__(f"vLLM cycle {shortest}-{longest}, {count} times")
        self._shortest, self._longest, self._count = shortest, longest, count
        self._recent: deque[object] = deque(maxlen=longest)
        self._runs: dict[int, int] = {}  # period -> symbols so far equal to the one a period before
        self._open = ""  # piece of text that may still grow

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        for symbol in self._symbols(observation):
            period = self._push(symbol)
            if period is not None:
                onset = tokens - period * (self._count - 1)
                return self.verdict(AnomalyKind.REPETITION, float(period), onset, tokens)
        return None

    def _symbols(self, observation: Observation) -> Iterator[object]:
        if observation.token_ids is not None:
            yield from observation.token_ids
        elif observation.text:
            pieces = cut(self._open + observation.text)
            self._open = pieces.pop()
            yield from pieces

    def _push(self, symbol: object) -> int | None:
        """Returns the shortest period that now has enough copies."""
        recent, before = self._recent, self._runs
        size = len(recent)
        runs = {}
        for index, earlier in enumerate(recent):
            if earlier == symbol:
                period = size - index
                runs[period] = before.get(period, 0) + 1
        recent.append(symbol)
        self._runs = runs
        return min(
            (
                period
                for period, run in runs.items()
                if period >= self._shortest and run >= period * (self._count - 1)
            ),
            default=None,
        )


RIVALS: tuple[Callable[[], Detector], ...] = (
    RegexRule,
    CharacterSetRule,
    CompressionRule,
    lambda: CompressionRule(window=1000),
    lambda: ExactCycleRule(1, 64),
    lambda: ExactCycleRule(4, 64),
)
"""Fresh ones of every rule."""
