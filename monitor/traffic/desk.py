"""What a worker of a cluster does, and the desk where all of them meet. Knows no Ray."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

import msgspec

from monitor.traffic.replay import Replayed
from monitor.traffic.schedule import Planned
from monitor.traffic.worker import Job, Progress, run_job

POLL_SECONDS = 0.1


class Desk:
    """Where workers say how far they are, and ask when to begin and whether to stop."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}
        self._ready: set[int] = set()
        self._start_at: float | None = None
        self._is_stopping = False

    def arrive(self, worker: int) -> float | None:
        """A worker is there; when to begin, by unix time, once that is known."""
        self._ready.add(worker)
        return self._start_at

    def arrived(self) -> int:
        """How many are there."""
        return len(self._ready)

    def start(self, start_at: float) -> None:
        """All of them begin then."""
        self._start_at = start_at

    def tell(self, worker: int, progress: bytes) -> bool:
        """A worker's progress; whether it must stop."""
        self._parts[worker] = progress
        return self._is_stopping

    def progress(self) -> list[bytes]:
        """Of all workers."""
        return list(self._parts.values())

    def stop(self) -> None:
        """Tells all of them to stop."""
        self._is_stopping = True


class Method(Protocol):
    """A method of an actor."""

    def remote(self, *arguments: Any) -> Awaitable[Any]: ...


class RemoteDesk(Protocol):
    """The desk as a worker sees it: each call is awaited."""

    @property
    def arrive(self) -> Method: ...
    @property
    def tell(self) -> Method: ...


async def work(number: int, encoded: bytes, desk: RemoteDesk) -> bytes:
    """Waits for the common start, then replays the worker's share.

    Args:
        encoded: a ``Job``; its ``start_at`` is the desk's to say.

    Returns:
        An encoded ``Replayed``.
    """
    job = msgspec.msgpack.decode(encoded, type=Job)
    while (start_at := await desk.arrive.remote(number)) is None:  # noqa: ASYNC110 (elsewhere)
        await asyncio.sleep(POLL_SECONDS)

    async def tell(progress: Progress) -> bool:
        return bool(await desk.tell.remote(number, msgspec.msgpack.encode(progress)))

    done = await run_job(msgspec.structs.replace(job, start_at=start_at), tell)
    return msgspec.msgpack.encode(done)


def share_of(job: Job, plan: list[Planned], workers: int) -> Job:
    """A worker's job: its share of the plan and of the requests that may run at once."""
    limit = job.max_in_flight
    most = None if limit is None else max(1, limit // workers)
    return msgspec.structs.replace(job, plan=plan, max_in_flight=most)


def decode_result(encoded: bytes) -> Replayed:
    """What ``work`` returned."""
    return msgspec.msgpack.decode(encoded, type=Replayed)
