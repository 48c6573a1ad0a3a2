"""What healthy acceptance looks like for one model, engine and number of drafts. Pure.

Learned from healthy requests; ``published`` stands in until there is one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from typing import Any, Self

from detectors.acceptance.law import (
    DAMAGED_NONE_ACCEPTED,
    LOOPING_ALL_ACCEPTED,
    PUBLISHED_LOWEST,
    Law,
    geometric,
    likelihood_ratios,
    mean,
    pooled,
    with_all_accepted,
    with_none_accepted,
)

HORIZON_STEPS = 1024
"""A change is expected at step t with a prior weight of about 1/HORIZON until there, then falling
with t²."""

MIN_REQUESTS = 50
"""Fewer do not show how much requests differ."""

_BOUNDS = (0.1, 0.03, 0.01, 0.003, 0.001)
_MIN_EXPECTED = 3.0  # a bound is checked where at least so many requests may pass it
_FLOORS = tuple(step / 100 for step in range(20, 93))


@dataclass(frozen=True)
class AcceptanceBaseline:
    """Laws of accepted drafts per step, of one model, engine and draft configuration.

    Attributes:
        num_drafts: most drafts of a step.
        requests, steps: what it was learned from.
        histogram: relative frequencies of 0 to ``num_drafts`` accepted, all requests pooled.
        floor: the worst healthy law: every healthy step, given the past, accepts at least as much.
        ceiling: the same upwards.
        request_accept_lengths: 1st, 10th, 50th, 90th and 99th percentile over requests.
        max_temperature: it is for requests up to this one: the cooler, the more drafts are accepted
            in the worst case. ``None`` is for all.
    """

    model: str
    engine: str
    num_drafts: int
    requests: int
    steps: int
    histogram: Law
    floor: Law
    ceiling: Law
    request_accept_lengths: tuple[float, ...] = ()
    max_temperature: float | None = None

    @property
    def is_learned(self) -> bool:
        return self.requests > 0

    @property
    def mean_accept_length(self) -> float:
        """Tokens a step, bonus token included."""
        return 1.0 + mean(self.histogram)

    @property
    def lowest_accept_length(self) -> float:
        """That of the worst healthy law."""
        return 1.0 + mean(self.floor)

    @cached_property
    def low_tables(self) -> list[tuple[float, ...]]:
        """Likelihood ratios of damaged to worst healthy, ``[drafted][accepted]``."""
        return likelihood_ratios(damaged_law(self.floor), self.floor)

    @cached_property
    def high_tables(self) -> list[tuple[float, ...]]:
        """Likelihood ratios of looping to most predictable healthy, ``[drafted][accepted]``."""
        return likelihood_ratios(looping_law(self.ceiling), self.ceiling)

    @classmethod
    def published(cls, num_drafts: int) -> Self:
        """Stands in for a learned one: healthy down to the published accept length of 1.4.

        Drafts are taken to be accepted one by one with the same probability. Nothing is published
        on the spread upwards: 97 % of the drafts is taken for the most predictable healthy text.
        """
        floor = geometric(num_drafts, min(PUBLISHED_LOWEST, 0.45 * num_drafts))
        ceiling = geometric(num_drafts, 0.96 * num_drafts)
        histogram = geometric(num_drafts, 0.4 * num_drafts)
        return cls("", "", num_drafts, 0, 0, histogram, floor, ceiling)

    @classmethod
    def learn(
        cls,
        requests: Sequence[Sequence[int]],
        num_drafts: int,
        *,
        model: str = "",
        engine: str = "",
        max_temperature: float | None = None,
    ) -> Self:
        """Learns from healthy requests; each is its accepted drafts, step by step.

        The floor is the highest law (the pooled one, tilted) under which the test kept every bound
        on these requests that their number can show.

        Raises:
            ValueError: no step, or a count above ``num_drafts``.
        """
        histogram = pooled(requests, num_drafts)
        lengths = sorted(1 + sum(each) / len(each) for each in requests if len(each) >= 16)
        return cls(
            model=model,
            engine=engine,
            num_drafts=num_drafts,
            requests=len(requests),
            steps=sum(map(len, requests)),
            histogram=histogram,
            floor=_first_that_keeps(requests, histogram, with_none_accepted, damaged_law, 0),
            ceiling=_first_that_keeps(requests, histogram, with_all_accepted, looping_law, -1),
            request_accept_lengths=tuple(_percentile(lengths, at) for at in (1, 10, 50, 90, 99)),
            max_temperature=max_temperature,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Reads what ``to_dict`` gave.

        Raises:
            ValueError: a field is missing, unknown or of the wrong length.
        """
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        known = {field.name for field in fields(cls)}
        wrong = sorted((needed - set(values)) | (set(values) - known))
        if wrong:
            raise ValueError(f"a baseline has other fields than expected: {', '.join(wrong)}")
        tuples = ("histogram", "floor", "ceiling", "request_accept_lengths")
        found = cls(**{**values, **{name: tuple(values.get(name, ())) for name in tuples}})
        for name in ("histogram", "floor", "ceiling"):
            if len(getattr(found, name)) != found.num_drafts + 1:
                raise ValueError(f"{name} needs {found.num_drafts + 1} shares, one a count")
        return found


def damaged_law(floor: Law) -> Law:
    """Accepted drafts while a damaged cache is read; always below the floor."""
    return with_none_accepted(floor, max(DAMAGED_NONE_ACCEPTED, (1 + 3 * floor[0]) / 4))


def looping_law(ceiling: Law) -> Law:
    """Accepted drafts within a loop; always above the ceiling."""
    return with_all_accepted(ceiling, max(LOOPING_ALL_ACCEPTED, (1 + 3 * ceiling[-1]) / 4))


def prior_weight(step: int) -> float:
    """Weight of a change at this step (from 1 on). All weights sum to one."""
    return HORIZON_STEPS / ((HORIZON_STEPS + step - 1) * (HORIZON_STEPS + step))


def largest_evidence(accepted: Iterable[int], ratios: Sequence[float]) -> float:
    """The e-process's largest value over one request. See ``sequential``."""
    value = largest = 0.0
    for step, count in enumerate(accepted, 1):
        value = (value + prior_weight(step)) * ratios[count]
        largest = max(largest, value)
    return largest


def _first_that_keeps(
    requests: Sequence[Sequence[int]],
    histogram: Law,
    tilt: Callable[[Law, float], Law],
    alternative: Callable[[Law], Law],
    place: int,
) -> Law:
    """The least extreme tilt under which the bounds hold, by bisection over the shares."""
    shares = [share for share in _FLOORS if share >= histogram[place]] or [_FLOORS[-1]]
    first, last = 0, len(shares) - 1
    while first < last:
        middle = (first + last) // 2
        law = tilt(histogram, shares[middle])
        ratios = likelihood_ratios(alternative(law), law)[-1]
        if _keeps_bounds([largest_evidence(each, ratios) for each in requests]):
            last = middle
        else:
            first = middle + 1
    return tilt(histogram, shares[first])


def _keeps_bounds(largest: Sequence[float]) -> bool:
    for bound in _BOUNDS:
        may_pass = bound * len(largest)
        if may_pass < _MIN_EXPECTED:
            break
        if sum(value >= 1 / bound for value in largest) > may_pass:
            return False
    return True


def _percentile(ordered: Sequence[float], percent: int) -> float:
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
