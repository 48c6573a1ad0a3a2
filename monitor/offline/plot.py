"""Draws what a baseline was learned from: on the terminal, and as a picture where wanted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from monitor.offline.calibrate import Source, accept_lengths
from monitor.offline.errors import MissingExtra

Requests = Sequence[tuple[int, ...]]

BINS = 12
BAR_CHARACTERS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def histogram(values: Sequence[float], bins: int = BINS) -> list[tuple[float, float, int]]:
    """Lower and upper edge and count of equally wide bins; one bin if all values are equal."""
    low, high = min(values), max(values)
    if low == high:
        return [(low, high, len(values))]
    width = (high - low) / bins
    counts = Counter(min(bins - 1, int((value - low) / width)) for value in values)
    return [(low + at * width, low + (at + 1) * width, counts[at]) for at in range(bins)]


def bar(share: float, characters: int = BAR_CHARACTERS) -> str:
    """A bar that is full at 1, to an eighth of a character."""
    eighths = round(share * characters * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def terminal_plot(requests: Requests) -> Text:
    """How the requests differ, and how many drafts a step keeps."""
    found = Text("  accept length of the requests\n", style="bold")
    bins = histogram(accept_lengths(requests))
    tallest = max(count for *_, count in bins)
    for low, high, count in bins:
        found.append(f"  {low:5.2f} to {high:5.2f}  ", style="not bold")
        found.append(bar(count / tallest), style="not bold cyan")
        found.append(f" {count}\n", style="not bold")
    found.append("  accepted drafts of a step\n")
    steps = Counter(accepted for request in requests for accepted in request)
    for accepted in range(max(steps) + 1):
        share = steps[accepted] / steps.total()
        found.append(f"  {accepted:14d}  ", style="not bold")
        found.append(bar(share), style="not bold cyan")
        found.append(f" {share:.1%}\n", style="not bold")
    return found


def save_plot(path: Path, learned: Mapping[Source, Requests]) -> None:
    """Writes the same as a picture; the file's ending chooses the format.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 (optional, slow)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "--plot needs matplotlib, which is not installed: pip install matplotlib; "
            "the histogram on the terminal needs nothing"
        ) from error
    figure = Figure(figsize=(10, 3.2 * len(learned)), layout="constrained")
    rows: Any = figure.subplots(len(learned), 2, squeeze=False)
    for (lengths, steps), (source, requests) in zip(rows, learned.items(), strict=True):
        _draw(lengths, steps, source, requests)
    figure.savefig(path, dpi=120)


def _draw(lengths: Any, steps: Any, source: Source, requests: Requests) -> None:
    lengths.hist(accept_lengths(requests), bins=2 * BINS)
    lengths.set(title=source.title, xlabel="accept length of a request", ylabel="requests")
    counts = Counter(accepted for request in requests for accepted in request)
    kept = range(source.num_drafts + 1)
    steps.bar(kept, [counts[accepted] / counts.total() for accepted in kept])
    steps.set(xlabel="accepted drafts of a step", ylabel="share of steps", xticks=list(kept))
