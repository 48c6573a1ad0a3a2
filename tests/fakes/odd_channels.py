"""Channels between ranks that are late, or claim arrivals that have not been."""

import time

from torch import Tensor

from inference_backend.parallel.channel import Channel, Pending


class _Kept:
    """Arrives beside the target, and is copied there when it is waited for, or never."""

    def __init__(self, pending: Pending, arrived: Tensor, target: Tensor, delay: float | None):
        self._pending, self._arrived, self._target, self._delay = pending, arrived, target, delay

    def wait(self) -> None:
        self._pending.wait()
        if self._delay is not None:
            time.sleep(self._delay)
            self._target.copy_(self._arrived)


class OddChannel:
    """Broadcasts of others arrive at the last moment, ``delay`` seconds late; ``None``: never."""

    def __init__(self, inner: Channel, delay: float | None) -> None:
        self._inner, self._delay = inner, delay
        self.rank, self.ranks = inner.rank, inner.ranks
        self.broadcasts = 0

    def begin_broadcast(self, tensor: Tensor, owner: int) -> Pending:
        if owner == self.rank:
            return self._inner.begin_broadcast(tensor, owner)
        self.broadcasts += 1
        beside = tensor.clone()
        return _Kept(self._inner.begin_broadcast(beside, owner), beside, tensor, self._delay)

    def begin_gather(self, rows: Tensor) -> tuple[Tensor, Pending]:
        return self._inner.begin_gather(rows)

    def close(self) -> None:
        self._inner.close()
