"""What of an attempt's text is kept for others: a sample around a finding, the text's end."""

from collections import deque

from detectors.verdict import Verdict
from retry_proxy.stream.text_tail import EndedText, TextTail

_SAMPLE_CHARACTERS = 240
_SAMPLE_TOKENS_BEFORE_ONSET = 8
_MOST_SAMPLES = 4096


class KeptText:
    """Nothing, unless it was asked for.

    Args:
        has_samples: evidence capture is switched on.
        characters: of the text, for whoever reads ended attempts; 0 keeps none.
    """

    def __init__(self, has_samples: bool, characters: int) -> None:
        self._samples: deque[tuple[int, str]] | None = (
            deque(maxlen=_MOST_SAMPLES) if has_samples else None
        )
        self._tail = TextTail(characters) if characters else None
        self.is_wanted = has_samples or characters > 0

    def add(self, text: str, tokens: int, before: int) -> None:
        """Text that ends at so many tokens of the attempt, and began at so many."""
        if self._samples is not None:
            self._samples.append((tokens, text))
        if self._tail is not None:
            self._tail.add(text, before)

    def note_verdict(self) -> None:
        """A finding was made on what was added so far."""
        if self._tail is not None:
            self._tail.note_verdict()

    def sample(self, verdict: Verdict | None) -> str | None:
        """Text around the onset."""
        if self._samples is None or verdict is None:
            return None
        start = verdict.onset_token - _SAMPLE_TOKENS_BEFORE_ONSET
        text = "".join(text for end_token, text in self._samples if end_token > start)
        return text[:_SAMPLE_CHARACTERS]

    def ended(self, rid: str, verdict: Verdict | None) -> EndedText | None:
        """The end of the text, if any is wanted and there is some."""
        return None if self._tail is None else self._tail.ended(rid, verdict)
