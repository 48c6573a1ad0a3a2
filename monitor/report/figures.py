"""What the report shows, as numbers. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.records import AttemptFacts, Incident
from retry_proxy.events import AttemptOutcome

OTHERS = "others"
MOST_SERIES = 7
MOST_ROWS = 16
_BIN_SECONDS = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400)
_MOST_BINS = 48


@dataclass(frozen=True, slots=True)
class OverTime:
    """Incidents in equal spans of time.

    Attributes:
        start: unix time of the first span's beginning.
        counts: by replica, one number a span; the most troubled replica first.
    """

    start: float
    bin_seconds: float
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Accept lengths on one replica."""

    replica: str
    healthy: Sequence[float]
    sick: Sequence[float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the incidents cost.

    Attributes:
        thrown_away, leaked: tokens, of the incidents' attempts.
        retries: further attempts of their requests.
        added_seconds: what it cost each client, one number a request whose end is known.
        outcomes: what the clients got.
    """

    thrown_away: int
    leaked: int
    retries: int
    added_seconds: Sequence[float]
    outcomes: Mapping[str, int]


def over_time(incidents: Sequence[Incident]) -> OverTime:
    """Counts of ``incidents`` (at least one), the replicas beyond the first ones taken together."""
    first, last = min(one.at for one in incidents), max(one.at for one in incidents)
    span = max(last - first, 1.0)
    seconds = next((one for one in _BIN_SECONDS if span / one < _MOST_BINS), None)
    bin_seconds = float(seconds or math.ceil(span / _MOST_BINS))
    start = math.floor(first / bin_seconds) * bin_seconds
    bins = int((last - start) // bin_seconds) + 1
    names = top(one.facts.replica for one in incidents)
    counts = {name: [0] * bins for name in names}
    for one in incidents:
        name = one.facts.replica if one.facts.replica in counts else OTHERS
        counts[name][int((one.at - start) // bin_seconds)] += 1
    return OverTime(start, bin_seconds, counts)


def top(names: Iterable[str], most: int = MOST_SERIES) -> list[str]:
    """The most frequent ones, and one more for all others if there are any."""
    ordered = [name for name, _ in Counter(names).most_common()]
    return ordered if len(ordered) <= most else [*ordered[: most - 1], OTHERS]


def accept_lengths(
    incidents: Sequence[Incident], healthy: Mapping[str, Sequence[float]]
) -> list[Lengths]:
    """By replica, the most troubled first.

    Args:
        healthy: of attempts without a finding; the retries that the incidents tell of are added.
    """
    good: defaultdict[str, list[float]] = defaultdict(list)
    sick: defaultdict[str, list[float]] = defaultdict(list)
    for replica, known in healthy.items():
        good[replica] += known
    seen: set[str] = set()
    for one in incidents:
        for facts in (one.facts, *(one.request.attempts if one.request else ())):
            length = facts.accept_length
            if facts.rid in seen or length is None or not math.isfinite(length):
                continue
            seen.add(facts.rid)
            if facts.verdict is not None:
                sick[facts.replica].append(length)
            elif facts.outcome is AttemptOutcome.COMPLETED:
                good[facts.replica].append(length)
    names = sorted(set(good) | set(sick), key=lambda name: (-len(sick[name]), name))
    return [Lengths(name, good[name], sick[name]) for name in names]


def delays(incidents: Iterable[Incident]) -> list[int]:
    """Tokens from the estimated onset to the alarm."""
    found = (one.facts.verdict for one in incidents)
    return sorted(max(0, one.alarm_token - one.onset_token) for one in found if one is not None)


def cost(incidents: Sequence[Incident]) -> Cost:
    """Added up; a request with several incidents counts once."""
    requests = {one.request_id: one.request for one in incidents if one.request is not None}
    attempts: list[AttemptFacts] = [one.facts for one in incidents]
    return Cost(
        thrown_away=sum(one.wasted_tokens or 0 for one in attempts),
        leaked=sum(one.leaked_tokens or 0 for one in attempts),
        retries=sum(max(0, len(one.attempts) - 1) for one in requests.values()),
        added_seconds=sorted(
            one.added_delay_seconds
            for one in requests.values()
            if one.added_delay_seconds is not None
        ),
        outcomes=Counter(one.outcome or "unknown" for one in requests.values()),
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Of a sorted sequence, by nearest rank; ``None`` of an empty one."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def histogram(values: Sequence[float], bins: int) -> tuple[float, list[int]]:
    """Width and counts of equal bins from 0 to the largest of ``values`` (at least one)."""
    width = max(max(values) / bins, 1.0 if all(one == int(one) for one in values) else 1e-9)
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int(value / width))] += 1
    return width, counts
