"""Several proxies in front of one fleet: what one learned the others follow."""

from retry_proxy.config import BalanceName, ProxyConfig
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.events import ReplicaState
from retry_proxy.fleet.gossip import Gossip
from retry_proxy.fleet.lease import Lease
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import AttemptResult, Ward

S = ReplicaState
REPLICAS = tuple(f"http://r{number}" for number in range(8))


class Proxy:
    """One of them. Its monotonic clock has its own zero; unix time is the same for all."""

    def __init__(self, clock_offset: float = 0.0) -> None:
        self.offset = clock_offset
        self.pool = Pool(BalanceName.LEAST)
        self.ward = Ward(self.pool, ProxyConfig(replicas=REPLICAS))
        self.budget = RetryBudget(ratio=0.0, min_per_second=10)
        self.exchange = Gossip(self.pool, self.ward, self.budget)
        for address in REPLICAS:
            self.pool.add(Replica(address))

    def replica(self, number: int) -> Replica:
        return self.pool.members[number]

    def state(self, number: int) -> ReplicaState:
        return self.replica(number).state

    def find_sick(self, number: int, at: float) -> None:
        """Every answer of one replica is bad until it is quarantined."""
        while self.state(number) is S.HEALTHY:
            for replica in self.pool.members:
                is_bad = replica is self.replica(number)
                result = AttemptResult.ANOMALY if is_bad else AttemptResult.CLEAN
                with Lease(replica, 0) as lease:
                    self.ward.note_ended(lease, result, at + self.offset)

    def tick(self, at: float) -> None:
        self.ward.tick(at + self.offset)


def talk(*proxies: Proxy, at: float) -> None:
    told = {str(n): one.exchange.outgoing(at + one.offset, at) for n, one in enumerate(proxies)}
    for number, one in enumerate(proxies):
        peers = {name: what for name, what in told.items() if name != str(number)}
        one.exchange.incoming(peers, at + one.offset, at)


def test_a_quarantine_is_followed_by_all_and_tried_by_each() -> None:
    first, second, third = Proxy(), Proxy(1000.0), Proxy(-50.0)
    first.find_sick(3, at=100.0)
    talk(first, second, third, at=110.0)
    assert [one.state(3) for one in (first, second, third)] == [S.QUARANTINED] * 3
    for one in (first, second, third):
        one.tick(129.0)
    assert {one.state(3) for one in (first, second, third)} == {S.QUARANTINED}
    for one in (first, second, third):
        one.tick(130.0)
    assert {one.state(3) for one in (first, second, third)} == {S.PROBING}


def test_what_was_taken_over_is_not_told_again() -> None:
    """Else two proxies would tell each other for ever what neither still knows itself."""
    first, second = Proxy(), Proxy()
    first.find_sick(3, at=0.0)
    talk(first, second, at=1.0)
    assert second.exchange.outgoing(1.0, 1.0).quarantines == []
    first.ward.release(first.replica(3), "by hand", 2.0)
    for at in (2.0, 3.0, 4.0):
        talk(first, second, at=at)
    assert first.state(3) is S.HEALTHY


def test_one_decision_is_followed_once() -> None:
    """The second proxy's operator knows better."""
    first, second = Proxy(), Proxy()
    first.find_sick(3, at=0.0)
    talk(first, second, at=1.0)
    second.ward.release(second.replica(3), "by hand", 2.0)
    talk(first, second, at=3.0)
    assert (first.state(3), second.state(3)) == (S.QUARANTINED, S.HEALTHY)


def test_an_operators_quarantine_holds_everywhere_until_it_is_released() -> None:
    first, second = Proxy(), Proxy()
    first.ward.quarantine(first.replica(0), "by hand", 0.0)
    talk(first, second, at=1.0)
    second.tick(10_000.0)
    assert second.state(0) is S.QUARANTINED
    first.ward.release(first.replica(0), "by hand", 10_000.0)
    talk(first, second, at=10_001.0)
    assert second.state(0) is S.HEALTHY


def test_an_operators_quarantine_goes_before_the_own_pause() -> None:
    first, second = Proxy(), Proxy()
    second.find_sick(0, at=0.0)
    first.ward.quarantine(first.replica(0), "by hand", 1.0)
    talk(first, second, at=1.0)
    second.tick(10_000.0)
    assert second.state(0) is S.QUARANTINED


def test_what_others_found_stays_within_the_own_share() -> None:
    proxies = [Proxy() for _ in range(6)]
    for number, one in enumerate(proxies):
        one.find_sick(number, at=0.0)
    talk(*proxies, at=1.0)
    for one in proxies:
        assert sum(replica.state is S.QUARANTINED for replica in one.pool.members) == 2


def test_nonsense_from_others_changes_nothing() -> None:
    first, second = Proxy(), Proxy()
    first.pool.add(Replica("http://known-only-here"))
    first.ward.quarantine(first.pool.members[-1], "by hand", 0.0)
    first.find_sick(3, at=0.0)
    told = first.exchange.outgoing(0.0, 0.0)
    second.exchange.incoming({"a": told}, 0.0, unix_now=99.0)  # its pause is over long ago
    assert {one.state for one in second.pool.members} == {S.HEALTHY}


def test_what_many_proxies_saw_is_weighed_together() -> None:
    """Each saw two bad answers: too few for any of them, enough for all."""
    proxies = [Proxy() for _ in range(8)]
    talk(*proxies, at=0.0)
    for turn in range(2):
        for one in proxies:
            for replica in one.pool.members:
                is_bad = replica is one.replica(5)
                result = AttemptResult.ANOMALY if is_bad else AttemptResult.CLEAN
                with Lease(replica, 0) as lease:
                    one.ward.note_ended(lease, result, float(turn))
    assert {one.state(5) for one in proxies} == {S.HEALTHY}
    talk(*proxies, at=2.0)
    assert {one.state(5) for one in proxies} == {S.QUARANTINED}
    assert all(one.replica(0).outlier.own.attempts == 16 for one in proxies)
    talk(*proxies, at=3.0)
    assert all(one.replica(0).outlier.own.attempts == 16 for one in proxies), "counted twice"


def test_what_was_missed_in_an_outage_is_in_the_next_sums() -> None:
    first, second = Proxy(), Proxy()
    talk(first, second, at=0.0)
    for _ in range(100):
        with Lease(first.replica(1), 0) as lease:
            first.ward.note_ended(lease, AttemptResult.CLEAN, 1.0)
    second.exchange.incoming({}, 2.0, 2.0)
    second.exchange.incoming({"0": first.exchange.outgoing(2.0, 2.0)}, 3.0, 3.0)
    assert second.replica(1).outlier.own.attempts == 100
    assert second.replica(1).local.attempts == 0


def spend_all(budget: RetryBudget, now: float) -> int:
    spent = 0
    while budget.can_spend(now):
        budget.spend(now)
        spent += 1
    return spent


def test_the_budgets_floor_is_for_all_proxies_together() -> None:
    proxies = [Proxy() for _ in range(5)]
    talk(*proxies, at=0.0)
    for one in proxies:
        spend_all(one.budget, 0.0)
    assert sum(spend_all(one.budget, 1.0) for one in proxies) == 10
    proxies[0].exchange.incoming({}, 2.0, 2.0)
    spend_all(proxies[0].budget, 2.0)
    assert spend_all(proxies[0].budget, 3.0) == 10
