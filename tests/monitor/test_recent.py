"""What replicas did in the last minute."""

from monitor.recent import RecentAttempts
from retry_proxy.events import AttemptOutcome
from tests.monitor.events import REPLICA_A, REPLICA_B, attempt_ended, stopped


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_by_replica() -> None:
    recent = RecentAttempts(clock=Clock())
    recent.take(stopped(1))
    recent.take(attempt_ended(1, 2, replica=REPLICA_B))
    recent.take(attempt_ended(2, 2, replica=REPLICA_B, is_hedge=True))
    failed = AttemptOutcome.CONNECT_FAILED
    recent.take(attempt_ended(3, outcome=failed, steps=None, accepted=None, completion_tokens=0))
    here, there = recent.of(REPLICA_A), recent.of(REPLICA_B)
    assert (here.attempts, here.anomalies, here.failures, here.retries) == (2, 1, 1, 0)
    assert (here.tokens, here.steps, here.accepted) == (130, 100, 100)
    assert (there.attempts, there.anomalies, there.retries) == (2, 0, 1)
    assert recent.of("http://nobody") == RecentAttempts().of("http://nobody")


def test_a_minute_later_it_is_forgotten() -> None:
    clock = Clock()
    recent = RecentAttempts(clock=clock)
    recent.take(stopped(1))
    clock.now += 54
    recent.take(stopped(2))
    assert recent.of(REPLICA_A).attempts == 2
    clock.now += 6
    assert recent.of(REPLICA_A).attempts == 1
    clock.now += 3600
    assert recent.of(REPLICA_A).attempts == 0


def test_it_stays_small() -> None:
    """An hour of attempts, and addresses that come and go."""
    clock = Clock()
    recent = RecentAttempts(most_replicas=10, clock=clock)
    for second in range(3600):
        clock.now = 1000.0 + second
        recent.take(attempt_ended(1))
        recent.take(attempt_ended(1, replica=f"http://replica-{second}"))
    kept = recent._buckets
    assert len(kept) == 10
    assert max(map(len, kept.values())) <= 13
    assert recent.of(REPLICA_A).attempts in range(54, 61)
