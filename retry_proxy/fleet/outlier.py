"""Whether one replica's anomalies stand out from the others': a sequential test. Pure.

Null hypothesis: an attempt on this replica is anomalous with at most ``RATIO`` times the
probability of one on the others, whatever that is. The evidence against it is a universal
inference e-process (Wasserman, Ramdas, Balakrishnan 2020): the likelihood of both counts under a
mixture over all pairs of rates, over their greatest likelihood under the null. Under the null the
probability that it *ever* exceeds 1/b is at most b, however often one looks and whoever of the
replicas got which request.

A replica that turns bad after 100,000 good attempts must not hide behind them, so the test starts
anew every ``SPACING`` attempts and older starts are thinned out. Each start has the bound b: at
most b false findings per ``SPACING`` attempts of a replica.
"""

from dataclasses import dataclass, field
from math import lgamma, log, sqrt
from typing import NamedTuple

RATIO = 2.0
SPACING = 32
_OLDEST_STARTS = 128  # 4,096 attempts: what is older was another day's traffic

# Priors of the mixture. The replica's rate may be anything; the others' is most likely small.
_OWN_PRIOR = (0.5, 0.5)
_OTHERS_PRIOR = (0.1, 10.0)


@dataclass(slots=True)
class Tally:
    """Attempts that came to an end, and those of them with a verdict."""

    attempts: int = 0
    anomalies: int = 0


class _Start(NamedTuple):
    """The tallies when the test was started for the so-manieth time."""

    number: int
    own: tuple[int, int]
    fleet: tuple[int, int]


@dataclass(slots=True)
class OutlierTest:
    """The test of one replica."""

    own: Tally = field(default_factory=Tally)
    _starts: list[_Start] = field(default_factory=list)
    _started: int = 0
    _until_start: int = 0

    def note(self, fleet: Tally, attempts: int, anomalies: int) -> None:
        """Counts attempts that ended, here and in the fleet's tally."""
        if self._until_start <= 0:
            self._start(fleet)
            self._until_start = SPACING
        self._until_start -= attempts
        for tally in (self.own, fleet):
            tally.attempts += attempts
            tally.anomalies += anomalies

    def forgive(self, fleet: Tally) -> None:
        """Takes back an anomaly that turned out to be the model's own."""
        for tally in (self.own, fleet):
            tally.anomalies -= 1

    def reset(self) -> None:
        """Forgets: after an absence, the others' attempts meanwhile are no comparison."""
        self._starts.clear()
        self._until_start = 0

    def evidence(self, fleet: Tally) -> float:
        """The logarithm of the strongest evidence over all starts."""
        return max((self._evidence_since(start, fleet) for start in self._starts), default=0.0)

    def _start(self, fleet: Tally) -> None:
        self._started += 1
        newest = self._started
        self._starts = [one for one in self._starts if _is_kept(one.number, newest)]
        own = (self.own.attempts, self.own.anomalies)
        self._starts.append(_Start(newest, own, (fleet.attempts, fleet.anomalies)))

    def _evidence_since(self, start: _Start, fleet: Tally) -> float:
        own_attempts = self.own.attempts - start.own[0]
        own_anomalies = max(0, self.own.anomalies - start.own[1])
        other_attempts = fleet.attempts - start.fleet[0] - own_attempts
        other_anomalies = max(0, fleet.anomalies - start.fleet[1] - own_anomalies)
        return log_evidence(own_anomalies, own_attempts, other_anomalies, other_attempts)


def _is_kept(number: int, newest: int) -> bool:
    """Dense for what is recent, ever sparser for what is old: two starts for each doubling."""
    age = newest - number
    return age <= 2 * (number & -number) and age <= _OLDEST_STARTS


def log_evidence(
    own_anomalies: int, own_attempts: int, other_anomalies: int, other_attempts: int
) -> float:
    """The logarithm of the e-value; 0 or less is no evidence."""
    own, others = (own_anomalies, own_attempts), (other_anomalies, other_attempts)
    mixture = _log_marginal(*own, *_OWN_PRIOR) + _log_marginal(*others, *_OTHERS_PRIOR)
    return mixture - _log_greatest_under_null(*own, *others)


def _log_marginal(anomalies: int, attempts: int, a: float, b: float) -> float:
    """Log-likelihood of the outcomes under a rate drawn from Beta(a, b)."""
    return _log_beta(anomalies + a, attempts - anomalies + b) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_greatest_under_null(
    own_anomalies: int, own_attempts: int, other_anomalies: int, other_attempts: int
) -> float:
    """Greatest log-likelihood over all pairs of rates in the null.

    The observed rates, if they are in it; else a pair ``RATIO * p`` and ``p`` on its edge: the
        derivative in ``p`` is zero at the smaller root of a quadratic.
    """
    anomalies = own_anomalies + other_anomalies
    own_clean, other_clean = own_attempts - own_anomalies, other_attempts - other_anomalies
    if own_anomalies * other_attempts <= RATIO * other_anomalies * own_attempts:
        return _log_greatest(own_anomalies, own_clean) + _log_greatest(other_anomalies, other_clean)
    square = RATIO * (own_attempts + other_attempts)
    linear = anomalies * (RATIO + 1) + RATIO * own_clean + other_clean
    root = sqrt(max(0.0, linear * linear - 4 * square * anomalies))
    p = min((linear - root) / (2 * square), 1 / RATIO)
    return (
        _times_log(own_anomalies, RATIO * p)
        + _times_log(own_clean, 1 - RATIO * p)
        + _times_log(other_anomalies, p)
        + _times_log(other_clean, 1 - p)
    )


def _log_greatest(anomalies: int, clean: int) -> float:
    attempts = max(1, anomalies + clean)
    return _times_log(anomalies, anomalies / attempts) + _times_log(clean, clean / attempts)


def _times_log(count: int, probability: float) -> float:
    return count * log(max(probability, 1e-300)) if count else 0.0
