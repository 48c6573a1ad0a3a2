"""``python -m inference_backend.disaggregation``: prefills, decodes and their router, one command.

Every replica is a process of its own on this machine, as ``python -m inference_backend --role``
starts it; pages move between them over Mooncake's transfer engine. One that ends by itself is
started again.
"""

import argparse
import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence

import aiohttp
import uvicorn

from inference_backend.disaggregation.router import PrefillAddress, build_router
from inference_backend.disaggregation.supervision import HOST, Replica, Supervised, stop

START_SECONDS = 300.0
EXAMPLES = """\
examples:
  python -m inference_backend.disaggregation                       1 prefill, 1 decode, port 30000
  python -m inference_backend.disaggregation --prefill 2 --decode 1 -- --threads 1
  python -m inference_backend.disaggregation -- --abort-protocol unsafe --prefill-budget-seconds 1
  python -m inference_backend.disaggregation --prefill-flag=--attention=sparse \
      --prefill-flag=--host-kv-tokens=16384 --decode-flag=--kv-tokens=8192

What follows -- is given to every replica; see python -m inference_backend --help.
"""


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
    replicas = [
        Supervised(each, each.command(flags_of(options, each.role)))
        for each in (Replica(role, ports.pop(), ports.pop()) for role in roles)
    ]
    try:
        for replica in replicas:
            await replica.start()
        if not await all_ready(replicas):
            print("error: a replica did not start; its message is above", file=sys.stderr)
            return 1
        return await serve(replicas, options.port)
    except TimeoutError:
        print(f"error: not all replicas were ready after {START_SECONDS:g} s", file=sys.stderr)
        return 1
    finally:
        await stop(replicas)


async def serve(replicas: Sequence[Supervised], port: int) -> int:
    """Until told to stop, or until a replica cannot be kept running."""
    prefills = [
        PrefillAddress(each.replica.url, HOST, each.replica.bootstrap_port)
        for each in replicas
        if each.replica.role == "prefill"
    ]
    decodes = [each.replica.url for each in replicas if each.replica.role == "decode"]
    app = build_router(prefills, decodes)
    server = uvicorn.Server(uvicorn.Config(app, HOST, port, log_level="info", access_log=False))
    serving = asyncio.ensure_future(server.serve())
    keeping = [asyncio.ensure_future(each.keep()) for each in replicas]
    await asyncio.wait({serving, *keeping}, return_when=asyncio.FIRST_COMPLETED)
    is_lost = not serving.done()
    if is_lost:
        server.should_exit = True
        await serving
    for each in keeping:
        each.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)
    return 1 if is_lost else 0


async def all_ready(replicas: Sequence[Supervised]) -> bool:
    """Waits until every replica answers its health route."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_SECONDS):
        for each in replicas:
            while each.is_running:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(each.replica.url + "/health") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.1)
            if not each.is_running:
                return False
    return True


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
