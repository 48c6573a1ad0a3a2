"""Finds stop strings in text that arrives in pieces. Knows no tokens."""

from collections.abc import Sequence


class StopStrings:
    """Passes text on, but never the start of a stop string that may still be completed."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest_prefix = max((len(stop) for stop in stops), default=1) - 1
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> str:
        """Returns the text that may go out; once a stop string was found, ``matched`` is set."""
        if not self._stops:
            return text
        text = self._held + text
        start, self.matched = self._find(text)
        if self.matched is not None:
            self._held = ""
            return text[:start]
        keep = len(text) - self._held_length(text)
        self._held = text[keep:]
        return text[:keep]

    def flush(self) -> str:
        """Returns what is held back: no more text will come."""
        text, self._held = self._held, ""
        return text

    def _find(self, text: str) -> tuple[int, str | None]:
        """The stop string that begins first; of those that begin together, the longest."""
        found = [(text.find(stop), -len(stop), stop) for stop in self._stops if stop in text]
        if not found:
            return 0, None
        start, _, stop = min(found)
        return start, stop

    def _held_length(self, text: str) -> int:
        for length in range(min(self._longest_prefix, len(text)), 0, -1):
            tail = text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
