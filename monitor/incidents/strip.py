"""The accepted drafts of an incident, a character a step, with its marks. For the terminal."""

from rich.text import Text

from monitor.incidents.steps import StepSeries

ONSET, ALARM = "▼", "✖"
_PREFIX = 9
_NOTES = {
    "merged": " The engine told several steps at once: spread evenly, places are estimates.",
    "upper_bound": " Upper bounds from the tokens of each chunk; places are estimates.",
}
_LEVELS = ("bold red", "yellow", "green", "bold green")


def strip(series: StepSeries, width: int) -> Text:
    """Rows of steps with the token that each begins at, and a row of marks above where one is."""
    per_row = max(10, min(100, (width - _PREFIX) // 10 * 10))
    counts = series.counts()
    most = max(counts, default=0)
    marks = {series.onset_step: ONSET, series.alarm_step: ALARM}
    text = Text()
    token = series.first_token
    for start in range(0, len(counts), per_row):
        row = counts[start : start + per_row]
        places = range(start, start + len(row))
        if any(place in marks for place in places):
            above = "".join(marks.get(place, " ") for place in places)
            text.append(f"{'':{_PREFIX}}{above.rstrip()}\n", style="bold")
        text.append(f"{token:>{_PREFIX - 2},}  ", style="dim")
        for place, count in zip(places, row, strict=True):
            text.append(series.accepted[place], style=_style(count, most))
        text.append("\n")
        token += sum(row) + len(row)
    text.append(legend(series), style="dim")
    return text


def legend(series: StepSeries) -> str:
    """How to read it."""
    marks = [f"{ALARM} alarm"]
    if series.onset_step is not None:
        marks.insert(0, f"{ONSET} estimated onset")
    else:
        marks.insert(0, "the onset lies before these steps")
    return (
        "Each character is a step: accepted drafts (a = 10); the number is the first token's.\n"
        f"{', '.join(marks)}.{quality_note(series)}"
    )


def quality_note(series: StepSeries) -> str:
    """What keeps the steps from being exact, if anything does; begins with a blank."""
    return _NOTES.get(series.quality or "", "")


def _style(count: int, most: int) -> str:
    if count == 0:
        return _LEVELS[0]
    return _LEVELS[min(len(_LEVELS) - 1, 1 + 3 * (count - 1) // max(most, 1))]
