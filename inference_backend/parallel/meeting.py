"""Where ranks find each other, and where the first one tells the others what to do.

Through a key-value store of torch.distributed (TCP between processes and machines), not through the
process group: an idle rank waits there without a time limit, and it outlives a lost rank.
"""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import msgspec
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from inference_backend.errors import RanksLost
from inference_backend.parallel.batch import Batch, Command, decode, encode

POLL_SECONDS = 0.02
IDLE = timedelta(hours=1)  # torch writes a warning each time: seldom

IsAlive = Callable[[int], bool]


class Caller:
    """The first rank's end.

    Args:
        is_alive: what is known of the others' processes; a rank that is not is not waited for.
        patience_seconds: how long the others get to come to a meeting.
    """

    def __init__(self, store: Store, is_alive: IsAlive, patience_seconds: float) -> None:
        self._store, self.is_alive, self._patience = store, is_alive, patience_seconds
        self._told = 0

    def tell(self, command: Command) -> None:
        """Never waits.

        When there is a new batch, the command before the last was read by all who are still here:
        the last one's results were collected, or they met after it.
        """
        self._store.set(_command(self._told), encode(command).decode())
        if isinstance(command, Batch) and self._told >= 2:
            self._store.delete_key(_command(self._told - 2))
        self._told += 1

    def meet(self, generation: int, names: Iterable[int]) -> list[int]:
        """Who of ``names`` is there for a generation, this one (0) first."""
        waited = [name for name in names if name != 0]
        deadline = time.monotonic() + self._patience
        present = self._present(generation, waited)
        while time.monotonic() < deadline and set(present) < set(self._living(waited)):
            time.sleep(POLL_SECONDS)
            present = self._present(generation, waited)
        members = [0, *present]
        self._store.set(_members(generation), msgspec.json.encode(members).decode())
        return members

    def _living(self, names: list[int]) -> list[int]:
        return [name for name in names if self.is_alive(name)]

    def _present(self, generation: int, names: list[int]) -> list[int]:
        return [
            name for name in self._living(names) if self._store.check([_present(generation, name)])
        ]


class Called:
    """Another rank's end. ``name`` is its number when all began, and stays."""

    def __init__(self, store: Store, name: int) -> None:
        self._store, self._name, self._read = store, name, 0

    def next(self) -> Command:
        """Waits for the next command, however long.

        Raises:
            RanksLost: the first rank is gone.
        """
        key = _command(self._read)
        while not self._wait(key, IDLE):
            pass
        self._read += 1
        command: Command = decode(self._store.get(key))
        return command

    def meet(self, generation: int, patience_seconds: float) -> list[int] | None:
        """The members of a generation, the first rank first; ``None``: without this one.

        Raises:
            RanksLost: the first rank does not say who they are.
        """
        self._store.set(_present(generation, self._name), "")
        if not self._wait(_members(generation), timedelta(seconds=patience_seconds)):
            raise RanksLost("the first rank did not say who computes with it")
        members: list[int] = msgspec.json.decode(self._store.get(_members(generation)))
        return members if self._name in members else None

    def _wait(self, key: str, limit: timedelta) -> bool:
        try:
            self._store.wait([key], limit)
        except dist.DistNetworkError as error:
            raise RanksLost("the first rank is gone") from error
        except dist.DistStoreError:
            return False
        return True


def _command(number: int) -> str:
    return f"command/{number}"


def _present(generation: int, name: int) -> str:
    return f"{generation}/present/{name}"


def _members(generation: int) -> str:
    return f"{generation}/members"
