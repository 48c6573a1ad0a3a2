"""The same replay on the workers of a Ray cluster. Imported only where --ray was given."""

import asyncio
import importlib
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import monitor
from monitor.traffic.desk import Desk, RemoteDesk, decode_result, share_of, work
from monitor.traffic.errors import RayUnavailable
from monitor.traffic.replay import Replayed, merge
from monitor.traffic.schedule import split
from monitor.traffic.worker import Job, Progress, total

try:
    ray: Any = importlib.import_module("ray")  # types would depend on whether it is there
except ImportError as _error:
    raise RayUnavailable("--ray needs Ray: pip install 'specwatch[ray]'") from _error

LOCAL = "local"  # the address for a Ray of this machine alone, started for this replay
_WAIT_SECONDS = 0.3
_READY_SECONDS = 120.0
_CONNECT_SECONDS = 5.0
_HEAD_START_SECONDS = 1.0  # for the news of the common start to reach all workers


async def run_on_ray(
    address: str,
    job: Job,
    workers: int,
    on_progress: Callable[[Progress], None],
    is_stopping: Callable[[], bool],
) -> Replayed:
    """Splits the job over workers, has them begin together, and joins what they found.

    A cluster is left as it was found; a Ray that was started here is stopped.

    Args:
        address: of a cluster (``ray://…``, ``host:port``, ``auto``), or ``local``.

    Raises:
        RayUnavailable: no cluster there, no room for the workers, or a worker died.
    """
    try:
        await asyncio.to_thread(_connect, address, workers)
        return await _run(job, workers, on_progress, is_stopping)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RayUnavailable(f"--ray {address}: {reason[-1]}") from error
    finally:
        ray.shutdown()


def _connect(address: str, workers: int) -> None:
    """Sends our own package along: workers need only aiohttp and msgspec."""
    package = str(Path(monitor.__file__).parent)
    _check_reachable(address)
    options: dict[str, Any] = {
        "runtime_env": {"py_modules": [package], "excludes": ["__pycache__"]},
        "logging_level": logging.ERROR,
        "log_to_driver": False,
    }
    if address == LOCAL:
        options |= {"address": "local", "num_cpus": workers, "include_dashboard": False}
    else:
        options["address"] = address
    ray.init(**options)


def _check_reachable(address: str) -> None:
    """Ray itself (2.60) tries for minutes where nobody listens.

    Raises:
        ConnectionError: nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return  # a name that Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise ConnectionError(f"cannot be reached ({error.strerror or error})") from error


def _work(number: int, encoded: bytes, desk: RemoteDesk) -> bytes:
    return asyncio.run(work(number, encoded, desk))


async def _run(
    job: Job,
    workers: int,
    on_progress: Callable[[Progress], None],
    is_stopping: Callable[[], bool],
) -> Replayed:
    shares = split(job.plan, workers)
    if not shares:
        return Replayed(outcomes=[])
    desk = ray.remote(num_cpus=0)(Desk).remote()
    task = ray.remote(num_cpus=1, max_retries=0)(_work)
    running = [
        task.remote(number, msgspec.msgpack.encode(share_of(job, share, len(shares))), desk)
        for number, share in enumerate(shares)
    ]
    await _begin(desk, running, is_stopping)
    has_told = False
    while True:
        ready, waiting = await asyncio.to_thread(
            ray.wait, running, num_returns=len(running), timeout=_WAIT_SECONDS
        )
        told = [msgspec.msgpack.decode(one, type=Progress) for one in await desk.progress.remote()]
        on_progress(total(told))
        if is_stopping() and not has_told:
            await desk.stop.remote()
            has_told = True
        if not waiting:
            break
    found = await asyncio.to_thread(ray.get, ready)
    return merge([decode_result(one) for one in found])


async def _begin(desk: Any, running: list[Any], is_stopping: Callable[[], bool]) -> None:
    """Once all workers are there.

    Raises:
        RayUnavailable: they did not come; ``ray.exceptions.RayError``: one has failed.
    """
    give_up_at = time.monotonic() + _READY_SECONDS
    while (arrived := await desk.arrived.remote()) < len(running) and not is_stopping():
        failed, _ = await asyncio.to_thread(ray.wait, running, timeout=_WAIT_SECONDS)
        if failed:
            await asyncio.to_thread(ray.get, failed)
        if time.monotonic() > give_up_at:
            raise RayUnavailable(
                f"{arrived} of {len(running)} workers are there after {_READY_SECONDS:g} s; each "
                "needs one CPU of the cluster (--workers)"
            )
    await desk.start.remote(time.time() + _HEAD_START_SECONDS)
