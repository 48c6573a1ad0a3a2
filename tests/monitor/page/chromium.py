"""Headless Chromium, driven by the DevTools protocol over pipes: no port, no driver, no package."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60.0

_KEYS = {
    "Tab": {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    "Escape": {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27},
}
_SHIFT = 8
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, where Chromium's own sandbox does not start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--window-size=1280,900",
    "--remote-debugging-pipe",
)


class Chromium:
    """The process: commands go in as JSON, answers and events come out."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium")
        assert program is not None, "Chromium is not installed (Debian: chromium)"
        theirs_in, self._write = _high_pipe()
        self._read, theirs_out = _high_pipe()
        log = str(folder / "chromium.log")
        # Chromium reads commands from descriptor 3 and writes to 4.
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ]
        arguments = [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self.pid = os.posix_spawn(
            program,
            arguments,
            os.environ | {"HOME": str(folder)},
            file_actions=actions,
            setsid=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._received = b""
        self._last_id = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=10_000)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._next(give_up_at, method)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self, give_up_at: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            left = give_up_at - time.monotonic()
            ready, _, _ = select.select([self._read], [], [], max(0.0, left))
            assert ready, f"no answer to {method}"
            data = os.read(self._read, 1 << 20)
            assert data, f"Chromium ended at {method}"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def end(self) -> None:
        """With all of its children."""
        os.close(self._write)
        os.close(self._read)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Tab:
    """One page of it."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser
        # Of its own context: storage, and what is remembered of a site, end with it.
        self._context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )
        attached = browser.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command to this page."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Goes there."""
        self._load("Page.navigate", url=url)

    def reload(self) -> None:
        """The same page, from its beginning."""
        self._load("Page.reload")

    def _load(self, method: str, **parameters: Any) -> None:
        """Asks the browser, not the page: what is asked of one that goes away is an error."""
        before = self._loads()
        self.call(method, **parameters)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while self._loads() == before:
            assert time.monotonic() < give_up_at, f"{method} {parameters} did not load"
            time.sleep(0.02)

    def _loads(self) -> int:
        self._browser.call("Browser.getVersion")  # whatever came before is read by then
        return sum(
            event.get("sessionId") == self._session and event["method"] == "Page.loadEventFired"
            for event in self._browser.events
        )

    def value(self, script: str) -> Any:
        """What an expression is; promises are waited for."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, f"{script}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def wait(self, script: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Until an expression is true."""
        give_up_at = time.monotonic() + seconds
        while not (value := self.value(script)):
            assert time.monotonic() < give_up_at, (
                f"never true: {script}\n{self.text('body')[:2000]}"
            )
            time.sleep(0.05)
        return value

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key, as a person presses it."""
        modifiers = _SHIFT if shift else 0
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, modifiers=modifiers, **_KEYS[key])

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def prefer(self, scheme: str) -> None:
        """What the system says: light or dark. And no motion, so that colours are settled."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Of what is in view."""
        done = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(done["data"]))

    def complaints(self) -> list[str]:
        """Exceptions, and what the browser refused: a policy that was broken is among them."""
        self.value("1")  # whatever came before is read by then
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(str(event["params"]["entry"]))
        return found

    def requested(self) -> list[str]:
        """Every address that it asked for."""
        self.value("1")
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("sessionId") == self._session
            and event["method"] == "Network.requestWillBeSent"
        ]

    def close(self) -> None:
        """With what it stored."""
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """One that ends with the tests."""
    browser = Chromium(folder)
    try:
        yield browser
    finally:
        browser.end()


def _high_pipe() -> tuple[int, int]:
    """A pipe whose ends cannot be taken for 3 and 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
