"""Who belongs to the fleet: orders of the operator, lists from elsewhere. No I/O; takes ``now``."""

import enum
from collections.abc import Collection

from retry_proxy.addresses import AddressRules
from retry_proxy.errors import RefusedAddress, UnknownReplica
from retry_proxy.events import FleetTrouble
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import Notice, Trouble, Ward

FLAGS = "flags"
OPERATOR = "operator"


class Order(enum.StrEnum):
    """What an operator can have done."""

    ADD = "add"
    REMOVE = "remove"  # running streams end first
    DRAIN = "drain"
    QUARANTINE = "quarantine"  # until released
    RELEASE = "release"  # from drain, quarantine or a trip


class Roster:
    """Adds members and takes them out; one that goes ends its running streams first."""

    def __init__(self, pool: Pool, ward: Ward, rules: AddressRules) -> None:
        self._pool = pool
        self._ward = ward
        self._rules = rules
        self._refused: set[str] = set()

    def add(self, address: str, origin: str, joined_at: float | None = None) -> Replica:
        """A new member.

        Args:
            joined_at: monotonic time from which its share ramps, ``None`` for no slow start.

        Raises:
            RefusedAddress: it is not allowed.
        """
        replica = Replica(self._rules.check(address), origin=origin, restored_at=joined_at)
        self._pool.add(replica)
        return replica

    def apply(self, order: Order, address: str, now: float) -> list[Notice]:
        """Does what the operator says.

        Raises:
            RefusedAddress: it may not be added, or is a member already.
            UnknownReplica: it is no member.
        """
        address = address.rstrip("/")
        replica = self._pool.get(address)
        if order is Order.ADD:
            return self._join(address, replica, now)
        if replica is None:
            raise UnknownReplica(f"{address!r} is no replica of this fleet")
        if order is Order.REMOVE:
            return self._leave(replica, "removed by the operator", now)
        reason = f"{order.value} by the operator"
        if order is Order.DRAIN:
            return self._ward.drain(replica, reason, now)
        if order is Order.QUARANTINE:
            return self._ward.quarantine(replica, reason, now)
        replica.is_leaving = False
        return self._ward.release(replica, reason, now)

    def update(self, origin: str, addresses: Collection[str], now: float) -> list[Notice]:
        """Makes the members of an origin those of its list; others' members stay as they are."""
        notices: list[Notice] = []
        wanted = self._allowed(addresses, notices)
        for replica in self._pool.members:
            if replica.origin != origin:
                continue
            if replica.address not in wanted and not replica.is_leaving:
                notices += self._leave(replica, f"no longer listed by {origin}", now)
            elif replica.address in wanted and replica.is_leaving:
                replica.is_leaving = False
                notices += self._ward.release(replica, f"listed again by {origin}", now)
        for address in wanted:
            if self._pool.get(address) is None:
                self.add(address, origin, now)
        return notices

    def tidy(self) -> None:
        """Forgets those that left, once nothing runs on them."""
        for replica in self._pool.members:
            if replica.is_leaving and replica.in_flight == 0:
                self._pool.remove(replica)

    def _join(self, address: str, replica: Replica | None, now: float) -> list[Notice]:
        if replica is None:
            self.add(address, OPERATOR, now)
            return []
        if not replica.is_leaving:
            raise RefusedAddress(f"{address} is a replica already")
        replica.is_leaving = False
        return self._ward.release(replica, "added again by the operator", now)

    def _leave(self, replica: Replica, reason: str, now: float) -> list[Notice]:
        replica.is_leaving = True
        return self._ward.drain(replica, reason, now)

    def _allowed(self, addresses: Collection[str], notices: list[Notice]) -> list[str]:
        """Those of a list that may be members; each other one is told once."""
        allowed: dict[str, None] = {}
        for address in addresses:
            try:
                allowed[self._rules.check(address)] = None
            except RefusedAddress as error:
                if address not in self._refused:
                    self._refused.add(address)
                    notices.append(Trouble(FleetTrouble.ADDRESS_REFUSED, str(error)))
        return list(allowed)
