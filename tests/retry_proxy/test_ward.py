"""Who is taken out of the fleet and brought back. No clock but the tests' own."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import exp

import pytest

from retry_proxy.config import BalanceName, ProxyConfig
from retry_proxy.events import FleetTrouble, ReplicaState
from retry_proxy.fleet.demand import UNKNOWN_DEMAND
from retry_proxy.fleet.lease import Lease
from retry_proxy.fleet.outlier import OutlierTest, Tally, log_evidence
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import AttemptResult, Change, Notice, Trouble, Ward

S, R = ReplicaState, AttemptResult


@dataclass
class World:
    """A fleet whose attempts end at once, as the test says."""

    size: int
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 1

    def __post_init__(self) -> None:
        addresses = tuple(f"http://r{number}" for number in range(self.size))
        config = ProxyConfig(replicas=addresses, **self.options)  # type: ignore[arg-type]
        self.pool = Pool(BalanceName.LEAST)
        self.ward = Ward(self.pool, config)
        for address in addresses:
            self.pool.add(Replica(address))
        self.now = 0.0
        self.told: list[Notice] = []
        self.chance = random.Random(self.seed)

    @property
    def replicas(self) -> list[Replica]:
        return list(self.pool.members)

    @property
    def changes(self) -> list[tuple[str, ReplicaState]]:
        return [(n.replica.address, n.replica.state) for n in self.told if isinstance(n, Change)]

    @property
    def troubles(self) -> list[FleetTrouble]:
        return [notice.kind for notice in self.told if isinstance(notice, Trouble)]

    def state(self, number: int) -> ReplicaState:
        return self.replicas[number].state

    def count(self, state: ReplicaState) -> int:
        return sum(replica.state is state for replica in self.replicas)

    def end(self, replica: Replica, result: AttemptResult) -> None:
        with Lease(replica, 0) as lease:
            self.told += self.ward.note_ended(lease, result, self.now)

    def ask(self, outcome: Callable[[Replica], AttemptResult]) -> Replica:
        """One request, wherever it goes."""
        replica = self.pool.choose((), UNKNOWN_DEMAND, self.now, may_try=True)
        assert replica is not None
        self.end(replica, outcome(replica))
        return replica

    def rates(self, rates: Mapping[int, float], base: float = 0.0) -> Callable[..., AttemptResult]:
        """Anomalies at a rate by the replica's number."""

        def outcome(replica: Replica) -> AttemptResult:
            rate = rates.get(int(replica.address.removeprefix("http://r")), base)
            return R.ANOMALY if self.chance.random() < rate else R.CLEAN

        return outcome

    def until(self, state: ReplicaState, outcome: Callable[[Replica], AttemptResult]) -> int:
        """Asks until a replica is in a state; the number of requests."""
        for number in range(1, 100_000):
            self.ask(outcome)
            if self.count(state):
                return number
        raise AssertionError(f"nobody became {state}")

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.told += self.ward.tick(self.now)


def anomalies_of(world: World, number: int) -> int:
    return world.replicas[number].outlier.own.anomalies


# quarantine: the numbers of the hazard table


@pytest.mark.parametrize(("rate", "most_bad"), [(1.0, 12), (0.5, 16), (0.2, 20), (0.05, 36)])
@pytest.mark.parametrize("history", [0, 10_000])
def test_one_bad_of_eight_is_quarantined_after_few_bad(
    rate: float, most_bad: int, history: int
) -> None:
    for seed in range(5 if history else 20):
        world = World(8, seed=seed)
        for _ in range(history):
            world.ask(world.rates({}, base=1e-3))
        before = anomalies_of(world, 3)
        world.until(S.QUARANTINED, world.rates({3: rate}, base=1e-3))
        assert world.changes == [("http://r3", S.QUARANTINED)]
        assert anomalies_of(world, 3) - before <= most_bad


@pytest.mark.parametrize(("size", "most_bad"), [(2, 40), (3, 26), (64, 6), (512, 5)])
def test_the_larger_the_fleet_the_fewer_bad(size: int, most_bad: int) -> None:
    world = World(size)
    world.until(S.QUARANTINED, world.rates({1: 1.0}))
    assert world.changes == [("http://r1", S.QUARANTINED)]
    assert anomalies_of(world, 1) <= most_bad


@pytest.mark.parametrize(("base", "requests"), [(1e-3, 100_000), (1e-4, 30_000), (1e-2, 30_000)])
def test_clean_replicas_are_never_quarantined(base: float, requests: int) -> None:
    """Eight clean replicas, 100,000 requests each: no ejection."""
    world = World(8)
    outcome = world.rates({}, base=base)
    for _ in range(requests):
        for replica in world.replicas:
            world.end(replica, outcome(replica))
    assert world.told == []


def test_a_base_rate_that_moves_for_all_quarantines_nobody() -> None:
    """The traffic's mix changes over the day; so does the rate of prompts that make models loop."""
    world = World(8)
    for step in range(200):
        outcome = world.rates({}, base=0.01 * (1 + step % 3))
        for _ in range(500):
            world.ask(outcome)
    assert S.QUARANTINED not in {state for _, state in world.changes}


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("size", [2, 3, 8, 64])
def test_replicas_that_are_sick_alike_are_an_alert_and_no_ejection(size: int, rate: float) -> None:
    for seed in range(3):
        world = World(size, seed=seed)
        for _ in range(3000):
            world.ask(world.rates({}, base=1e-3))
        for _ in range(4000):
            world.ask(world.rates({}, base=rate))
        assert world.changes == []
        assert world.troubles == [FleetTrouble.ALL_SICK]


def test_the_alert_is_told_once_until_it_is_over() -> None:
    world = World(4)
    for rate in (1.0, 0.0, 1.0):
        for _ in range(1000):
            world.ask(world.rates({}, base=rate))
        world.wait(30.0)
    assert world.troubles == [FleetTrouble.ALL_SICK] * 2


def test_never_more_than_the_greatest_share_and_the_rest_is_told() -> None:
    """Four of ten are bad, three may be out."""
    world = World(10)
    bad = dict.fromkeys((1, 4, 6, 8), 1.0)
    for _ in range(3000):
        world.ask(world.rates(bad))
        assert world.count(S.QUARANTINED) <= 3
    assert world.count(S.QUARANTINED) == 3
    assert world.troubles == [FleetTrouble.EJECTION_WITHHELD]


def test_the_last_healthy_one_stays() -> None:
    world = World(2, {"max_ejected_share": 1.0})
    first, second = world.replicas
    world.told += world.ward.quarantine(first, "by hand", 0.0)
    for _ in range(50):
        world.end(second, R.FAILED)
    assert second.state is S.HEALTHY
    assert world.troubles == [FleetTrouble.EJECTION_WITHHELD]


def test_a_single_replica_is_compared_with_nobody() -> None:
    world = World(1)
    for _ in range(1000):
        world.ask(world.rates({0: 1.0}))
    assert world.told == []


def test_a_share_of_zero_switches_it_off() -> None:
    world = World(8, {"max_ejected_share": 0.0})
    for _ in range(1000):
        world.ask(world.rates({2: 1.0}))
    assert world.changes == []
    assert FleetTrouble.EJECTION_WITHHELD in world.troubles


def test_what_another_replica_showed_as_well_is_nobodys_evidence() -> None:
    """One prompt that loops everywhere always begins on the same replica: prefix affinity."""
    world = World(8)
    first, second = world.replicas[:2]
    for _ in range(500):
        world.end(first, R.ANOMALY)
        world.ward.forgive(first)
        world.end(second, R.SHARED)
        for replica in world.replicas:
            for _ in range(30):
                world.end(replica, R.CLEAN)
    assert world.changes == []


def test_an_absence_is_no_comparison() -> None:
    """While it was away the others had a good time; then all have a bad one."""
    world = World(3)
    away = world.replicas[0]
    world.told += world.ward.note_refused(away, 0.0)
    for _ in range(20_000):
        world.ask(world.rates({}))
    world.told += world.ward.note_answered(away, 1.0)
    for _ in range(3000):
        for replica in world.replicas:
            world.end(replica, world.rates({}, base=0.03)(replica))
    assert world.count(S.QUARANTINED) == 0


# back again


def test_a_quarantined_replica_is_tried_and_comes_back() -> None:
    world = World(8)
    world.until(S.QUARANTINED, world.rates({3: 1.0}))
    sick = world.replicas[3]
    world.wait(29.0)
    assert all(world.ask(world.rates({})) is not sick for _ in range(100))
    world.wait(1.0)
    assert world.state(3) is S.PROBING
    assert [world.ask(world.rates({})) for _ in range(20)] == [sick] * 20
    assert world.state(3) is S.HEALTHY


def test_the_pause_grows_by_thirty_seconds_up_to_three_hundred() -> None:
    world = World(8)
    world.until(S.QUARANTINED, world.rates({3: 1.0}))
    sick, pauses = world.replicas[3], []
    for _ in range(12):
        began = world.now
        while sick.state is S.QUARANTINED:
            world.wait(1.0)
        pauses.append(world.now - began)
        world.ask(world.rates({3: 1.0}))
    assert pauses == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_a_long_healthy_time_forgets_the_back_off() -> None:
    world = World(8)
    for healthy_seconds in (0.0, 1000.0):
        world.until(S.QUARANTINED, world.rates({3: 1.0}))
        world.wait(300.0)
        while world.replicas[3].state is S.PROBING:
            world.ask(world.rates({}))
        world.wait(healthy_seconds)
    world.until(S.QUARANTINED, world.rates({3: 1.0}))
    assert world.replicas[3].ejections == 1


def test_a_trial_takes_two_requests_at_a_time() -> None:
    world = World(2)
    world.told += world.ward.quarantine(world.replicas[0], "test", 0.0)
    world.replicas[0].paused_until = 0.0
    world.wait(1.0)
    leases = [Lease(world.replicas[0], 0) for _ in range(2)]
    for lease in leases:
        assert world.pool.choose((), UNKNOWN_DEMAND, 1.0, may_try=True) is world.replicas[0]
        lease.begin()
    assert world.pool.choose((), UNKNOWN_DEMAND, 1.0, may_try=True) is world.replicas[1]
    leases[0].end()
    assert world.pool.choose((), UNKNOWN_DEMAND, 1.0, may_try=True) is world.replicas[0]
    assert world.pool.choose((), UNKNOWN_DEMAND, 1.0) is world.replicas[1]
    assert world.pool.choose(["x"], UNKNOWN_DEMAND, 1.0, may_try=True) is world.replicas[1]


def test_an_attempt_from_before_the_quarantine_proves_nothing() -> None:
    world = World(2)
    replica = world.replicas[0]
    old = Lease(replica, 0)
    old.begin()
    world.told += world.ward.quarantine(replica, "test", 0.0)
    replica.paused_until = 0.0
    world.wait(1.0)
    world.told += world.ward.note_ended(old, R.ANOMALY, 1.0)
    old.end()
    assert (replica.state, replica.trials_running) == (S.PROBING, 0)


# failures in a row


def test_five_failures_in_a_row_trip_it_and_three_good_ones_bring_it_back() -> None:
    world = World(4)
    replica = world.replicas[0]
    for result in (*[R.FAILED] * 4, R.CLEAN, *[R.FAILED] * 4, R.UNTOLD):
        world.end(replica, result)
    assert world.state(0) is S.HEALTHY
    world.end(replica, R.FAILED)
    assert world.state(0) is S.TRIPPED
    world.wait(30.0)
    for _ in range(3):
        assert world.state(0) is S.PROBING
        world.end(replica, R.CLEAN)
    assert [state for _, state in world.changes][-1] is S.HEALTHY


def test_a_trial_that_fails_or_is_refused_trips_it_again() -> None:
    world = World(4)
    replica = world.replicas[0]
    for _ in range(5):
        world.end(replica, R.FAILED)
    world.wait(30.0)
    world.end(replica, R.FAILED)
    assert (world.state(0), replica.paused_until) == (S.TRIPPED, 90.0)
    world.wait(60.0)
    world.told += world.ward.note_refused(replica, world.now)
    assert (world.state(0), replica.paused_until) == (S.TRIPPED, 180.0)


def test_all_replicas_failing_keeps_most_of_them_in() -> None:
    world = World(10)
    for _ in range(500):
        world.ask(lambda _: R.FAILED)
    assert (world.count(S.TRIPPED), world.count(S.HEALTHY)) == (3, 7)


# the operator


def test_the_operators_quarantine_stays_until_it_is_released() -> None:
    world = World(2)
    replica = world.replicas[0]
    world.told += world.ward.quarantine(replica, "by hand", 0.0)
    world.wait(10_000.0)
    assert world.state(0) is S.QUARANTINED
    world.told += world.ward.release(replica, "by hand", world.now)
    assert world.state(0) is S.HEALTHY
    assert world.ward.release(replica, "again", world.now) == []


# the test itself


def test_the_evidence_is_an_e_value() -> None:
    """Under the null its mean is at most 1, at the boundary too: summed over all outcomes."""
    for own_rate, other_rate in ((0.05, 0.05), (0.2, 0.1), (0.5, 0.4), (0.02, 0.01)):
        mean = 0.0
        for own in range(11):
            for others in range(31):
                weight = binomial(own, 10, own_rate) * binomial(others, 30, other_rate)
                mean += weight * exp(log_evidence(own, 10, others, 30))
        assert 0.0 < mean <= 1.0


def binomial(hits: int, trials: int, rate: float) -> float:
    ways = 1.0
    for step in range(hits):
        ways *= (trials - step) / (step + 1)
    return float(ways * rate**hits * (1 - rate) ** (trials - hits))


def test_the_evidence_grows_with_each_anomaly_and_falls_with_the_others() -> None:
    alone = [log_evidence(bad, 20, 0, 140) for bad in range(1, 20)]
    assert alone == sorted(alone)
    assert log_evidence(5, 20, 3, 140) < log_evidence(5, 20, 0, 140)
    assert max(log_evidence(9, 9, 0, 0), log_evidence(0, 0, 1, 10)) <= 0.0


def test_memory_stays_bounded() -> None:
    test, fleet = OutlierTest(), Tally()
    for _ in range(200_000):
        test.note(fleet, 1, 0)
    assert len(test._starts) <= 32
