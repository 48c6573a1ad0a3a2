"""The end of an attempt's text, kept in memory for a reader that the operator switched on."""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from detectors.verdict import Verdict

_CHARACTERS_AFTER_VERDICT = 1000


@dataclass(frozen=True, slots=True)
class EndedText:
    """What an attempt that ran wrote, or the end of it.

    Attributes:
        rid: the attempt's id, as in ``AttemptEnded``.
        verdict: the finding, if any.
        text: private: neither stored nor logged, and not in this value's ``repr``.
        characters_before_onset: where in ``text`` the verdict's onset lies; ``None`` without one.
    """

    rid: str
    verdict: Verdict | None
    text: str = field(repr=False)
    characters_before_onset: int | None = None


class TextSink(Protocol):
    """Gets the text of attempts that ended well or with a finding.

    Must not block and must not raise.
    """

    @property
    def kept_characters(self) -> int:
        """How much of the end of a stream is kept for it."""
        ...

    def ended(self, text: EndedText) -> None: ...


class TextTail:
    """The last characters of a stream, or those around its onset once there is a verdict.

    Bounded memory: about ``limit`` characters.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[tuple[int, str]] = deque()  # tokens before the piece, its text
        self._characters = 0
        self._left_after_verdict: int | None = None

    def add(self, text: str, tokens_before: int) -> None:
        """Takes the next piece of the stream."""
        if not text or self._left_after_verdict == 0:
            return
        if self._left_after_verdict is not None:
            text = text[: self._left_after_verdict]
            self._left_after_verdict -= len(text)
        self._pieces.append((tokens_before, text))
        self._characters += len(text)
        while self._characters - len(self._pieces[0][1]) >= self._limit:
            self._characters -= len(self._pieces.popleft()[1])

    def note_verdict(self) -> None:
        """From here on only a little more is kept, so that what was found is not pushed out."""
        if self._left_after_verdict is None:
            self._left_after_verdict = min(_CHARACTERS_AFTER_VERDICT, self._limit // 2)

    def ended(self, rid: str, verdict: Verdict | None) -> EndedText:
        """What is kept, and where the onset lies in it."""
        text = "".join(text for _, text in self._pieces)
        cut = max(0, len(text) - self._limit)
        before: int | None = None
        if verdict is not None:
            onset = verdict.onset_token
            early = (text for tokens, text in self._pieces if tokens < onset)
            before = max(0, sum(map(len, early)) - cut)
        return EndedText(rid, verdict, text[cut:], before)
