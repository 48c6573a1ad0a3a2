"""Asks unknown and unreachable replicas what they are, again and again. Waits; decides nothing."""

import asyncio
import time
from collections.abc import Callable, Sequence

from retry_proxy.errors import ConnectFailed
from retry_proxy.events import ReplicaState
from retry_proxy.fleet.contact import Contact
from retry_proxy.fleet.replica import Replica


class Prober:
    """Runs beside the requests.

    Args:
        replicas: those of now.
        tick: called in every round, with the monotonic time.
        answered, refused: told how a probe ended.
    """

    def __init__(
        self,
        contact: Contact,
        interval_seconds: float,
        replicas: Callable[[], Sequence[Replica]],
        *,
        tick: Callable[[float], None],
        answered: Callable[[Replica], None],
        refused: Callable[[Replica, ConnectFailed], None],
    ) -> None:
        self._contact = contact
        self._interval_seconds = interval_seconds
        self._replicas = replicas
        self._tick = tick
        self._answered = answered
        self._refused = refused

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = time.monotonic()
            self._tick(now)
            due = [replica for replica in self._replicas() if is_due(replica, now)]
            await asyncio.gather(*map(self._probe, due))
            await asyncio.sleep(self._interval_seconds)

    async def _probe(self, replica: Replica) -> None:
        replica.adapter = None
        try:
            await self._contact.adapter(replica)
        except ConnectFailed as error:
            self._refused(replica, error)
        else:
            self._answered(replica)


def is_due(replica: Replica, now: float) -> bool:
    """Unknown and unreachable replicas are asked: one that came back may be another engine."""
    is_unreachable = replica.state is ReplicaState.UNREACHABLE
    return (is_unreachable or replica.adapter is None) and now >= replica.next_probe_at
