"""Which of many running streams are shown. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """What is shown, beside what there is.

    Attributes:
        shown: ids, the suspect ones first, else the oldest first.
        running, suspect: how many there are.
    """

    shown: tuple[str, ...]
    running: int
    suspect: int


def choose(
    streams: Iterable[tuple[str, bool]],
    shown_before: Collection[str],
    *,
    most_suspect: int,
    most_others: int,
) -> Sample:
    """All suspect streams, up to a bound, and a steady sample of the others.

    One that was shown stays until it ends: a list that changes twice a second cannot be read.

    Args:
        streams: ids, the oldest first, and whether each is suspect.
    """
    suspects: list[str] = []
    known: list[str] = []
    new: list[str] = []
    running = suspect = 0
    for rid, is_suspect in streams:
        running += 1
        suspect += is_suspect
        if is_suspect:
            # Those shown before as healthy go first: they are what somebody may be looking at.
            suspects.append(rid)
        elif rid in shown_before:
            known.append(rid)
        elif len(new) < most_others:
            new.append(rid)
    if suspect > most_suspect:
        suspects.sort(key=lambda rid: rid not in shown_before)
    others = [*known, *new][:most_others]
    return Sample((*suspects[:most_suspect], *others), running, suspect)
