"""Events that differ from an earlier one only in their text. Knows no engine.

Between the first and the last event of a plain stream nothing changes but the text. So once one
event was read in full and went on as it came, the next ones are compared with it byte by byte: what
is equal outside the text is equal in meaning, and only the text need be read.
"""

import re

import msgspec

_KEYS = (b'"content":"', b'"content": "', b'"text":"', b'"text": "')
_UNESCAPED = re.compile(rb'[^"\\\x00-\x1f]+')  # the inside of a JSON string without escapes

_decode = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class PlainEvents:
    """What stands before and after the text of such events."""

    __slots__ = ("_after", "_before", "_shortest")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._shortest = 0  # bytes of an event with a text; 0: nothing is known yet

    @property
    def is_known(self) -> bool:
        return self._shortest > 0

    def learn(self, raw: bytes, text: str) -> None:
        """Takes an event as the model for the next ones, if its text stands in it just once.

        Args:
            raw: one event, terminator included.
            text: what it says, and all that it says.
        """
        written = _encode(text)
        start = raw.find(written)
        if start < 0 or raw.find(written, start + 1) >= 0:
            return
        before, after = raw[: start + 1], raw[start + len(written) - 1 :]
        if not before.endswith(_KEYS) or not raw.startswith(b"data:"):
            return
        self._before, self._after = before, after
        self._shortest = len(before) + len(after) + 1

    def text_of(self, data: bytes) -> str | None:
        """The text of ``data``, if it is exactly one such event; else ``None``."""
        if len(data) < self._shortest or not self._shortest:
            return None
        before, after = self._before, self._after
        if not data.startswith(before) or not data.endswith(after):
            return None
        start, end = len(before), len(data) - len(after)
        try:
            if _UNESCAPED.fullmatch(data, start, end):
                return data[start:end].decode()
            return _decode(data[start - 1 : end + 1])
        except (UnicodeDecodeError, msgspec.DecodeError):
            return None  # another event, or two, or none: whoever reads it in full will tell
