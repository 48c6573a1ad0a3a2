"""``python -m inference_backend.disaggregation``: prefills, decodes and their router, one command.

Every replica is a process of its own on this machine, as ``python -m inference_backend --role``
starts it; pages move between them over Mooncake's transfer engine.
"""

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import uvicorn

from inference_backend.disaggregation.router import PrefillAddress, build_router

HOST = "127.0.0.1"
START_SECONDS = 300.0
STOP_SECONDS = 35.0
EXAMPLES = """\
examples:
  python -m inference_backend.disaggregation                       1 prefill, 1 decode, port 30000
  python -m inference_backend.disaggregation --prefill 2 --decode 1 -- --threads 1
  python -m inference_backend.disaggregation -- --abort-protocol unsafe --prefill-budget-seconds 1
  python -m inference_backend.disaggregation --prefill-flag=--attention=sparse \
      --prefill-flag=--host-kv-tokens=16384 --decode-flag=--kv-tokens=8192

What follows -- is given to every replica; see python -m inference_backend --help.
"""


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica to start."""

    role: str
    port: int
    bootstrap_port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command(self, flags: Sequence[str]) -> list[str]:
        return [
            *(sys.executable, "-m", "inference_backend", "--role", self.role),
            *("--host", HOST, "--port", str(self.port)),
            *("--bootstrap-port", str(self.bootstrap_port)),
            *flags,
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if a replica does not start or ends by itself."""
    options = build_parser().parse_args(arguments)
    try:
        return asyncio.run(run(options))
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference_backend.disaggregation",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--prefill", type=int, default=1, help="prefill replicas (default: 1)")
    parser.add_argument("--decode", type=int, default=1, help="decode replicas (default: 1)")
    parser.add_argument("--port", type=int, default=30000, help="the router's port")
    for role in ("prefill", "decode"):
        parser.add_argument(
            f"--{role}-flag",
            action="append",
            default=[],
            metavar="FLAG=VALUE",
            help=f"a flag of the {role} replicas alone; written --{role}-flag=--kv-tokens=8192",
        )
    parser.add_argument("flags", nargs="*", help="flags of every replica, after --")
    return parser


def flags_of(options: argparse.Namespace, role: str) -> list[str]:
    """What a replica is given; the flags of its role come last and win."""
    return [*options.flags, *getattr(options, f"{role}_flag")]


async def run(options: argparse.Namespace) -> int:
    """Starts everything, serves until told to stop, stops everything."""
    if options.prefill < 1 or options.decode < 1:
        print("error: --prefill and --decode must be at least 1", file=sys.stderr)
        return 2
    ports = free_ports(2 * (options.prefill + options.decode))
    roles = ["prefill"] * options.prefill + ["decode"] * options.decode
    replicas = [Replica(role, ports.pop(), ports.pop()) for role in roles]
    processes = [
        await asyncio.create_subprocess_exec(*replica.command(flags_of(options, replica.role)))
        for replica in replicas
    ]
    try:
        if not await all_ready(replicas, processes):
            print("error: a replica did not start; its message is above", file=sys.stderr)
            return 1
        return await serve(replicas, processes, options.port)
    finally:
        await stop(processes)


async def serve(
    replicas: Sequence[Replica], processes: Sequence[asyncio.subprocess.Process], port: int
) -> int:
    prefills = [
        PrefillAddress(replica.url, HOST, replica.bootstrap_port)
        for replica in replicas
        if replica.role == "prefill"
    ]
    decodes = [replica.url for replica in replicas if replica.role == "decode"]
    app = build_router(prefills, decodes)
    server = uvicorn.Server(uvicorn.Config(app, HOST, port, log_level="info", access_log=False))
    serving = asyncio.ensure_future(server.serve())
    ends = [asyncio.ensure_future(process.wait()) for process in processes]
    await asyncio.wait({serving, *ends}, return_when=asyncio.FIRST_COMPLETED)
    ended_by_itself = not serving.done()
    if ended_by_itself:
        print("error: a replica ended; stopping the others", file=sys.stderr)
        server.should_exit = True
        await serving
    for end in ends:
        end.cancel()
    return 1 if ended_by_itself else 0


async def all_ready(
    replicas: Sequence[Replica], processes: Sequence[asyncio.subprocess.Process]
) -> bool:
    """Waits until every replica answers its health route."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_SECONDS):
        for replica, process in zip(replicas, processes, strict=True):
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(replica.url + "/health") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.1)
            if process.returncode is not None:
                return False
    return True


async def stop(processes: Sequence[asyncio.subprocess.Process]) -> None:
    """SIGTERM to all, SIGKILL to those that do not listen."""
    running = [process for process in processes if process.returncode is None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    waits = [asyncio.ensure_future(process.wait()) for process in running]
    if waits:
        await asyncio.wait(waits, timeout=STOP_SECONDS)
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below the range that connections take theirs from."""
    found: list[int] = []
    for port in range(31000, 32700):
        with socket.socket() as listener:
            if listener.connect_ex((HOST, port)) != 0:
                found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports from 31000 to 32700")


if __name__ == "__main__":
    sys.exit(main())
