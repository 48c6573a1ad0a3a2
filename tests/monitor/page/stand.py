"""The real proxy as a process in front of scripted replicas, with traffic, for a browser to see."""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from tests.live.processes import Children, answers, free_port

ROOT = Path(__file__).parents[3]
KEY = "the admin key"
KEY_HEADER = {"authorization": f"Bearer {KEY}"}
# An instance of this name would be a hole in the page if it were ever read as HTML.
ODD_MODEL = "<img src=x onerror=\"document.title='broken into'\">"
REPLICA_KEY = "drill"


@dataclass
class Stand:
    """What runs.

    Attributes:
        proxy: address of the proxy.
        replicas: addresses of the replicas.
    """

    children: Children
    proxy: str = ""
    replicas: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def start(self, step_seconds: float) -> None:
        """Two replicas and the proxy."""
        for number in range(2):
            port = free_port()
            address = f"http://127.0.0.1:{port}"
            script = str(ROOT / "tests" / "fakes" / "replica.py")
            command = [sys.executable, script, "--port", str(port), "--admin-key", REPLICA_KEY]
            command += ["--step-seconds", str(step_seconds)]
            self.children.start(f"replica{number}", command, answers(f"{address}/ready"))
            self.replicas.append(address)
        self.proxy = f"http://127.0.0.1:{free_port()}"
        self.start_proxy()

    def start_proxy(self) -> None:
        """At its address; also after it was killed."""
        options = ["--port", self.proxy.rpartition(":")[2], "--admin-key", KEY]
        options += ["--engine-metrics-seconds", "1", "--lame-duck-seconds", "0"]
        options += ["--panel", "published", "--accept-length-after-tokens", "8"]
        options += ["--max-attempts", "2", *self.options]
        for one in self.replicas:
            options += ["--replica", one]
        command = [sys.executable, "-m", "monitor", "serve", *options]
        self.children.start("proxy", command, answers(f"{self.proxy}/ready"))

    def damage(self, replica: str, kind: str | None, **plan_options: float) -> None:
        """Switches the fault on for the generations that begin from now on, or off."""
        plan: dict[str, Any] = {"kind": kind}
        if kind is not None:
            plan |= {"rate": 1, "after_tokens": 6, **plan_options}
        headers = {"authorization": f"Bearer {REPLICA_KEY}"}
        httpx.post(f"{replica}/faults", json=plan, headers=headers, timeout=20).raise_for_status()

    def ask(self, count: int = 1, *, tokens: int = 60, model: str = "fake") -> None:
        """So many chats, one after the other."""
        messages = [{"role": "user", "content": "hello"}]
        body = {"model": model, "messages": messages, "max_tokens": tokens, "stream": True}
        for _ in range(count):
            httpx.post(f"{self.proxy}/v1/chat/completions", json=body, timeout=60)

    def told(self, path: str) -> Any:
        """JSON of the monitor."""
        return httpx.get(f"{self.proxy}{path}", headers=KEY_HEADER, timeout=20).json()


def make_incident(stand: Stand, *, sick: int = 2, model: str = "fake") -> str:
    """One more; the id of the newest. Not for every request, if only one replica is sick."""
    before = {one["id"] for one in stand.told("/api/incidents")["incidents"]}
    for replica in stand.replicas[:sick]:
        stand.damage(replica, "noise")
    new: list[str] = []
    give_up_at = time.monotonic() + 60
    while not new:
        assert time.monotonic() < give_up_at, "no request was found to be sick"
        stand.ask(model=model)
        found = stand.told("/api/incidents")["incidents"]
        new = [one["id"] for one in found if one["id"] not in before]
    for replica in stand.replicas:
        stand.damage(replica, None)
    return new[0]


@contextmanager
def stand(folder: Path, *options: str, step_seconds: float = 0.0005) -> Iterator[Stand]:
    """All of it, and its end."""
    made = Stand(Children(folder), options=list(options))
    try:
        made.start(step_seconds)
        yield made
    finally:
        made.children.end()


@dataclass
class Load:
    """Streams that are read until it ends.

    Attributes:
        events: how many came so far.
        ended: streams that did not last.
    """

    events: int = 0
    ended: int = 0


@contextmanager
def running_streams(proxy: str, count: int, model: str = "fake") -> Iterator[Load]:
    """So many at once, in a thread of their own."""
    load, is_over = Load(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_hold(proxy, count, model, load, is_over)))
    thread.start()
    try:
        yield load
    finally:
        is_over.set()
        thread.join(60)
        assert not thread.is_alive(), "the streams did not end"


async def _hold(proxy: str, count: int, model: str, load: Load, is_over: threading.Event) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        tasks = [asyncio.create_task(_read(session, proxy, model, load)) for _ in range(count)]
        while not is_over.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(session: aiohttp.ClientSession, proxy: str, model: str, load: Load) -> None:
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": model, "messages": messages, "max_tokens": 10**6, "stream": True}
    with contextlib.suppress(aiohttp.ClientError):
        async with session.post(f"{proxy}/v1/chat/completions", json=body) as response:
            async for data in response.content.iter_any():
                load.events += data.count(b"\n\n")
    load.ended += 1
