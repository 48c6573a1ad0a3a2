"""What ranks send one another while they compute: broadcasts and all-gathers of tensors.

Knows torch.distributed and nothing of caches. All ranks must call the same operations in the same
order.
"""

from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from inference_backend.errors import RanksLost


class Pending(Protocol):
    """An operation under way."""

    def wait(self) -> None:
        """Returns when what was sent may be read: on a GPU, by the current stream.

        Raises:
            RanksLost: it will not arrive.
        """
        ...


class Channel(Protocol):
    """One rank's end. ``begin`` methods return at once."""

    rank: int
    ranks: int

    def begin_broadcast(self, tensor: Tensor, owner: int) -> Pending:
        """The owner's ``tensor`` (contiguous) goes over everybody else's."""
        ...

    def begin_gather(self, rows: Tensor) -> tuple[Tensor, Pending]:
        """``rows [...]``, as large on every rank -> all of them ``[ranks, ...]``."""
        ...

    def close(self) -> None:
        """Breaks the connections: nobody waits for this rank any longer."""
        ...


class Arrived:
    """Nothing had to be sent."""

    def wait(self) -> None:
        pass


class _Work:
    """An operation of torch.distributed; what it reads and writes is kept until then."""

    def __init__(self, work: Any, what: str, *tensors: Tensor) -> None:
        self._work, self._what, self._tensors = work, what, tensors

    def wait(self) -> None:
        try:
            self._work.wait()
        except RuntimeError as error:
            raise RanksLost(f"a rank was lost during {self._what}: {_short(error)}") from error


class GroupChannel:
    """A process group of its own: gloo on CPUs, and where ranks share a GPU; NCCL on GPUs.

    NCCL runs on a stream of its own, which waits for what was queued before and which ``wait`` has
    the current stream wait for. Gloo has threads for that.

    Args:
        store: where the ranks find each other.
        timeout_seconds: how long an operation may take before its rank counts as lost.
        host: the address that gloo listens on; left to itself it takes the host name's, on which
            others can reach it.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        ranks: int,
        backend: str,
        timeout_seconds: float,
        host: str = "127.0.0.1",
    ) -> None:
        self.rank, self.ranks = rank, ranks
        timeout = timedelta(seconds=timeout_seconds)
        try:
            self._group = _make_group(store, rank, ranks, backend, timeout, host)
        except RuntimeError as error:
            raise RanksLost(f"the ranks do not find one another: {_short(error)}") from error

    def begin_broadcast(self, tensor: Tensor, owner: int) -> Pending:
        options = dist.BroadcastOptions()
        options.rootRank, options.rootTensor = owner, 0
        return self._begin(f"a broadcast of rank {owner}", tensor, options)

    def _begin(self, what: str, tensor: Tensor, options: Any) -> Pending:
        try:
            return _Work(self._group.broadcast([tensor], options), what, tensor)
        except RuntimeError as error:
            raise RanksLost(f"a rank was lost before {what}: {_short(error)}") from error

    def begin_gather(self, rows: Tensor) -> tuple[Tensor, Pending]:
        everything = rows.new_empty((self.ranks, *rows.shape))
        what = "an exchange of new rows"
        try:
            work = self._group.allgather([list(everything.unbind())], [rows])
        except RuntimeError as error:
            raise RanksLost(f"a rank was lost before {what}: {_short(error)}") from error
        return everything, _Work(work, what, everything, rows)

    def close(self) -> None:
        self._group.abort()
        self._group = None  # gloo's connections end with it


class AloneChannel:
    """One rank has nobody to talk to."""

    rank, ranks = 0, 1

    def begin_broadcast(self, tensor: Tensor, owner: int) -> Pending:
        return Arrived()

    def begin_gather(self, rows: Tensor) -> tuple[Tensor, Pending]:
        return rows.unsqueeze(0), Arrived()

    def close(self) -> None:
        pass


def _make_group(
    store: Store, rank: int, ranks: int, backend: str, timeout: timedelta, host: str
) -> Any:
    if backend == "gloo":
        gloo: Any = dist.ProcessGroupGloo
        settings = gloo._Options()
        settings._timeout = timeout
        settings._devices = [gloo.create_device(hostname=host)]
        return gloo(store, rank, ranks, settings)
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timeout
    return dist.ProcessGroupNCCL(store, rank, ranks, options)


def choose_backend(device: torch.device, *, shares_device: bool) -> str:
    """NCCL refuses two ranks on one GPU."""
    return "nccl" if device.type == "cuda" and not shares_device else "gloo"


def _short(error: RuntimeError) -> str:
    """The first line: what follows are frames of the C++ stack."""
    return str(error).split("\n", 1)[0]
