"""A picture of the web page during a real fault: two replicas of the integrated engine, one of them
with damaged cache, the proxy, and Chromium. ``python -m benchmarks.page_picture page.png``.
"""

import argparse
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx

from monitor.demo.options import REPLICAS, DemoOptions, Launcher
from monitor.demo.prompts import PROMPTS
from tests.live.processes import Children, answers, free_port
from tests.monitor.page.chromium import Tab, chromium

WIDTH, HEIGHT = 1280, 1200
AT_ONCE, MAX_TOKENS = 8, 160
FAULT = {"kind": "noise", "rate": 0.6, "page_share": 0.5, "after_tokens": 24, "seed": 1}
INCIDENTS = 3  # before the picture is taken
PATIENCE_SECONDS = 400.0


def start_fleet(children: Children, options: DemoOptions) -> str:
    """Replicas and proxy; the address of the latter. The first replica falls ill at once."""
    launcher, key = Launcher(), secrets.token_hex(16)
    replicas = []
    for number in range(REPLICAS):
        port = free_port()
        replicas.append(f"http://127.0.0.1:{port}")
        command = launcher.replica(options, port, key)
        is_ready = answers(f"{replicas[-1]}/ready")
        children.start(f"replica{number}", command, is_ready, PATIENCE_SECONDS)
    port = free_port()
    proxy = f"http://127.0.0.1:{port}"
    command = [*launcher.proxy(options, port, replicas), "--engine-metrics-seconds", "1"]
    children.start("proxy", command, answers(f"{proxy}/ready"))
    headers = {"authorization": f"Bearer {key}"}
    httpx.post(f"{replicas[0]}/faults", json=FAULT, headers=headers).raise_for_status()
    return proxy


@contextmanager
def traffic(proxy: str) -> Iterator[None]:
    """Chats, several at a time, until it ends."""
    is_over, numbers = threading.Event(), count()

    def ask() -> None:
        while not is_over.is_set():
            prompt = PROMPTS[next(numbers) % len(PROMPTS)]
            messages = [{"role": "user", "content": prompt}]
            body = {"model": "smollm2-135m-instruct", "messages": messages, "stream": True}
            body |= {"max_tokens": MAX_TOKENS, "temperature": 0.7, "ignore_eos": True}
            with httpx.stream(
                "POST", f"{proxy}/v1/chat/completions", json=body, timeout=PATIENCE_SECONDS
            ) as response:
                for _ in response.iter_raw():
                    if is_over.is_set():
                        return

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def take(proxy: str, folder: Path, out: Path) -> None:
    """Waits until some answers were stopped and one looks doubtful now (or many were stopped)."""
    with chromium(folder) as browser:
        tab = Tab(browser)
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        tab.prefer("light")
        tab.open(f"{proxy}/page")
        rows = f"document.querySelectorAll('#incident-rows tr').length >= {INCIDENTS}"
        doubtful = "document.querySelector('#streams tr:not([data-looks=fine])') !== null"
        enough = f"document.querySelectorAll('#incident-rows tr').length >= {3 * INCIDENTS}"
        long = "document.querySelector('#streams path.some').getAttribute('d').length > 300"
        tab.wait(f"{rows} && {long} && ({doubtful} || {enough})", PATIENCE_SECONDS)
        tab.screenshot(out)


def main() -> None:
    """Writes one PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="specwatch-page-") as folder:
        children = Children(Path(folder))
        try:
            proxy = start_fleet(children, DemoOptions())
            with traffic(proxy):
                take(proxy, Path(folder), arguments.out)
        finally:
            children.end()
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
