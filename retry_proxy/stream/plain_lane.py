"""Passes plain events on at once and keeps their text, to be judged together. Decides nothing."""

from detectors.observation import Observation
from retry_proxy.engines.adapter import ChunkReader
from retry_proxy.stream.answer import Answer

_JUDGED_CHARACTERS = 32  # the detectors read text in blocks of as much: sooner shows nothing more


class PlainLane:
    """The short way for events that say a text and nothing else, while nothing is suspicious.

    Attributes:
        is_open: events may go on unjudged until the next ``settle``.
    """

    __slots__ = ("_answer", "_characters", "_reader", "_texts", "is_open")

    def __init__(self, answer: Answer, reader: ChunkReader) -> None:
        self._answer = answer
        self._reader = reader
        self._texts: list[str] = []
        self._characters = 0
        self.is_open = False

    def pass_on(self, data: bytes) -> bool | None:
        """Sends ``data`` if it is one plain event; ``None`` if it is not, or the lane is closed.

        Returns:
            Whether all was written; else it waits for the answer's ``flush``.
        """
        if not self.is_open or self._answer.hold.held:
            return None
        text = self._answer.plain_text(data)
        if text is None:
            return None
        self._texts.append(text)
        self._characters += len(text)
        return self._answer.write_plain(data)

    @property
    def is_due(self) -> bool:
        """What went on should be judged now."""
        return self._characters >= _JUDGED_CHARACTERS

    def settle(self) -> Observation | None:
        """Counts what went on since the last time, and returns it for the detectors."""
        if not self._texts:
            return None
        text = "".join(self._texts)
        self._texts.clear()
        self._characters = 0
        seen = self._reader.read_plain(text)
        assert seen is not None, "events of this reader are not plain"
        self._answer.count_plain(text, seen.estimated_tokens or 0)
        return seen
