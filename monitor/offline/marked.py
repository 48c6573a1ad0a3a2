"""Shows the place of a finding in its text. Takes values, returns what rich can print."""

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from detectors.verdict import Verdict
from monitor.offline.recording import Recording
from monitor.offline.replay import TextPlaces

BEFORE_CHARACTERS, AFTER_CHARACTERS = 80, 160
BAD_STYLE = "bold red"


def marked_place(record: Recording, verdict: Verdict) -> RenderableType:
    """The text around the onset, red from there on; what cannot be printed is shown as a sign."""
    if not record.text:
        return _indented(Text("(no text in the recording)", style="dim"))
    onset = TextPlaces(record).character(verdict.onset_token)
    before = record.text[max(0, onset - BEFORE_CHARACTERS) : onset]
    after = record.text[onset : onset + AFTER_CHARACTERS]
    marked = Text.assemble(
        "…" if onset > BEFORE_CHARACTERS else "",
        printable(before),
        (printable(after), BAD_STYLE),
        "…" if onset + AFTER_CHARACTERS < len(record.text) else "",
        overflow="fold",
    )
    return _indented(marked)


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, 4))


def printable(text: str) -> str:
    """One line without anything that moves the cursor or hides."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\n":
        return "↵"
    if character.isspace():
        return " "
    return character if character.isprintable() else "�"
