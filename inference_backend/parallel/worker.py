"""Every rank but the first: does what it is told, until it is told to stop."""

import contextlib
import logging
from collections.abc import Callable

import torch
from torch.distributed.distributed_c10d import PrefixStore, Store

from inference_backend.errors import RanksLost
from inference_backend.parallel.batch import Batch, Regroup, Stop
from inference_backend.parallel.channel import AloneChannel, Channel, GroupChannel, choose_backend
from inference_backend.parallel.meeting import Called
from inference_backend.parallel.rank import Rank
from inference_backend.parallel.rank_host import RankHost

log = logging.getLogger(__name__)

MEETING_SECONDS = 60.0


def make_channel(
    store: Store, generation: int, members: list[int], name: int, rank: Rank
) -> Channel:
    """The connections of one generation.

    Raises:
        RanksLost: they do not come about.
    """
    if len(members) == 1:
        return AloneChannel()
    options = rank.options
    backend = choose_backend(rank.store.device, shares_device=options.shares_device)
    own = PrefixStore(f"{generation}/group", store)
    return GroupChannel(own, members.index(name), len(members), backend, options.timeout_seconds)


class Worker:
    """Runs in its process's (or, in tests, thread's) main loop."""

    def __init__(self, store: Store, name: int, rank: Rank, host: RankHost | None) -> None:
        self._store, self._name, self.rank, self.host = store, name, rank, host
        self._called = Called(store, name)
        self.on_layer: Callable[[int], None] = lambda _: None

    def run(self) -> None:
        """Returns when the first rank says so, is gone, or goes on without this one."""
        try:
            if self._rejoin(0):
                while self._obey():
                    pass
        except RanksLost as error:
            log.warning("rank %d stops: %s", self._name, error)
        finally:
            self.rank.leave()
            if self.host is not None:
                self.host.close()

    def _obey(self) -> bool:
        command = self._called.next()
        match command:
            case Batch():
                self._compute(command)
                return True
            case Regroup():
                return self._rejoin(command.generation)
            case Stop():
                return False

    def _compute(self, batch: Batch) -> None:
        """What goes wrong here is the others' to know: they lose this rank, and meet it again."""
        if self.rank.channel is None:
            return  # told before the first rank knew that the group was broken
        try:
            with torch.inference_mode(), self._moves(batch):
                self.rank.compute(batch, self.on_layer, self._check)
        except RanksLost as error:
            log.warning("rank %d: %s", self._name, error)
            self.rank.leave()

    def _check(self) -> None:
        if self.host is not None:
            self.host.check()

    def _moves(self, batch: Batch) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.host is None else self.host.moving(batch)

    def _rejoin(self, generation: int) -> bool:
        """If another is lost meanwhile, the first rank calls once more."""
        try:
            return self._join(generation)
        except RanksLost as error:
            log.warning("rank %d: %s", self._name, error)
            return True

    def _join(self, generation: int) -> bool:
        self.rank.leave()
        members = self._called.meet(generation, MEETING_SECONDS)
        if members is None:
            return False
        channel = make_channel(self._store, generation, members, self._name, self.rank)
        self.rank.join(channel, generation)
        if self.host is not None:
            self.host.restart()
        return True
