"""What the judge came to, as it is served and scraped: counts, and estimates from them."""

import enum
from collections.abc import Mapping
from typing import Protocol

import msgspec

from monitor.judge.estimate import Share, share
from monitor.judge.opinion import MEASURED, Opinion


class Source(enum.StrEnum):
    """Why a text was judged."""

    INCIDENT = "incident"  # a detector found it sick
    HEALTHY = "healthy"  # none did, and it was drawn as a sample


class Dropped(enum.StrEnum):
    """Why a text was not judged."""

    RATE_LIMIT = "rate_limit"
    QUEUE_FULL = "queue_full"
    GONE = "gone"  # the judge's process died
    ERROR = "error"  # the model failed on this text


class JudgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The judge's state and what it found so far.

    Attributes:
        is_up: its process answers.
        waiting: texts in the queue.
        opinions: by source, then by opinion.
        dropped: texts not judged, by why.
        seconds: that the model computed.
        false_alarms: incidents held for fine, among the incidents with a clear opinion.
        misses: unflagged answers held for sick, among those sampled with a clear opinion.
        judge_errors: the judge's own, measured: an estimate is no better than these.
    """

    is_up: bool
    waiting: int
    opinions: dict[str, dict[str, int]]
    dropped: dict[str, int]
    seconds: float
    false_alarms: Share
    misses: Share
    judge_errors: Mapping[str, Share]


class JudgeSource(Protocol):
    """A judge: asked at each scrape and by the API."""

    def report(self) -> JudgeReport: ...


class Tally:
    """Counts opinions and drops."""

    def __init__(self) -> None:
        self.opinions = {source: dict.fromkeys(Opinion, 0) for source in Source}
        self.dropped = dict.fromkeys(Dropped, 0)
        self.seconds = 0.0

    def report(self, *, is_up: bool, waiting: int) -> JudgeReport:
        """Everything so far."""
        incidents, healthy = self.opinions[Source.INCIDENT], self.opinions[Source.HEALTHY]
        return JudgeReport(
            is_up=is_up,
            waiting=waiting,
            opinions={
                source.value: {opinion.value: count for opinion, count in counts.items()}
                for source, counts in self.opinions.items()
            },
            dropped={reason.value: count for reason, count in self.dropped.items()},
            seconds=self.seconds,
            false_alarms=_among_clear(incidents, Opinion.FINE),
            misses=_among_clear(healthy, Opinion.SICK),
            judge_errors={name: share(*counts) for name, counts in MEASURED.items()},
        )


def _among_clear(counts: Mapping[Opinion, int], wanted: Opinion) -> Share:
    return share(counts[wanted], counts[Opinion.SICK] + counts[Opinion.FINE])
