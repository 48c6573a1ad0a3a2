"""The links from a fault to an alert, and when each was seen. Pure; takes ``now``."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field


class Link(enum.StrEnum):
    """In their order."""

    FAULT_ON = "fault switched on"
    DAMAGED = "a generation is damaged"
    DETECTED = "first detection"
    STORED = "incident stored"
    RETRIED = "its request was answered by another replica"
    METRIC = "metric of the proxy moved"
    SCRAPED = "Prometheus has it"
    FIRING = "alert fires"
    NOTIFIED = "Alertmanager has the alert"


ALWAYS = (Link.FAULT_ON, Link.DAMAGED, Link.DETECTED, Link.STORED, Link.RETRIED, Link.METRIC)


def wanted_links(*, has_prometheus: bool, has_alertmanager: bool) -> tuple[Link, ...]:
    """Those that can be seen from here."""
    more = (Link.SCRAPED, Link.FIRING) if has_prometheus else ()
    return (*ALWAYS, *more, *((Link.NOTIFIED,) if has_alertmanager else ()))


@dataclass(frozen=True, slots=True)
class Seen:
    """One link.

    Attributes:
        seconds: since the fault was switched on.
        detail: which incident, which alert.
    """

    link: Link
    seconds: float
    detail: str = ""


@dataclass(slots=True)
class Chain:
    """What was seen so far.

    Attributes:
        began_at: monotonic time at which the fault was switched on.
    """

    wanted: Sequence[Link]
    began_at: float
    seen: dict[Link, Seen] = field(default_factory=dict)

    def note(self, link: Link, now: float, detail: str = "") -> bool:
        """A link was seen; whether that is news."""
        if link in self.seen:
            return False
        self.seen[link] = Seen(link, now - self.began_at, detail)
        return True

    def lacks(self, link: Link) -> bool:
        """It is waited for."""
        return link in self.wanted and link not in self.seen

    @property
    def missing(self) -> list[Link]:
        """Those that have not been seen."""
        return [link for link in self.wanted if link not in self.seen]
