"""Real engines as processes, started for a test session and always ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from monitor.demo.process import free_port, log_tail
from tests.engines.install import model_file, python

FOLDER = Path(os.environ.get("SPECWATCH_ENGINES", ".venv-engines"))
MODEL = "m"
START_SECONDS = 300.0
END_SECONDS = 20.0
_VLLM_DRAFTS = {
    "method": "ngram",
    "num_speculative_tokens": 4,
    "prompt_lookup_max": 4,
    "prompt_lookup_min": 2,
}
_VLLM_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True, slots=True)
class Engine:
    """One that runs."""

    name: str
    address: str

    def running_requests(self) -> int:
        """Generations that occupy it now, as it says itself."""
        return _COUNT[self.name](self.address)

    def seconds_until_idle(self, limit_seconds: float) -> float:
        """How long it still generates; at least the limit if it does not stop."""
        began = time.monotonic()
        while self.running_requests() and time.monotonic() - began < limit_seconds:
            time.sleep(0.05)
        return time.monotonic() - began


@contextmanager
def running(name: str, log: Path) -> Iterator[Engine]:
    """Starts an engine and waits until it is healthy.

    Raises:
        RuntimeError: it is not installed, or did not come up; the message shows its log.
    """
    target = FOLDER / name
    if not (target / ".ready").exists():
        raise RuntimeError(f"{name} is not in {FOLDER}: make test-engines")
    port = free_port()
    environment = _VLLM_ENVIRONMENT if name == "vllm" else {}
    with log.open("wb") as output:
        process = start_tethered(_COMMANDS[name](target, port), output, environment)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_healthy(process, address, log)
        yield Engine(name, address)
    finally:
        end(process)


def start_tethered(
    command: list[str], output: IO[bytes] | None, environment: dict[str, str]
) -> "subprocess.Popen[bytes]":
    """Starts a command that ends with this process, also when it is killed."""
    tether = str(Path(__file__).with_name("tether.py"))
    return subprocess.Popen(
        [sys.executable, tether, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def fetch(url: str) -> bytes:
    """Body of a GET."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def _wait_until_healthy(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            fetch(address + "/health")
        except (urllib.error.URLError, OSError):
            pass
        else:
            return
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise RuntimeError(f"the engine did not come up:\n{log_tail(log)}")
        time.sleep(0.2)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Asks it to end, then kills what is left of its group: vLLM's engine is a child's child."""
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _llamacpp(target: Path, port: int) -> list[str]:
    script = Path(__file__).with_name("llamacpp_process.py")
    return [str(python(target)), str(script), str(model_file(target)), str(port)]


def _vllm(target: Path, port: int) -> list[str]:
    options = {
        "host": "127.0.0.1",
        "port": port,
        "served-model-name": MODEL,
        "dtype": "bfloat16",
        "max-model-len": 2048,
        "max-num-seqs": 4,
        "per-request-spec-decode-metrics": "detailed",
        "speculative-config": json.dumps(_VLLM_DRAFTS),
    }
    command = [str(target / "bin" / "vllm"), "serve", str(target / "model"), "--enforce-eager"]
    return command + [part for name, value in options.items() for part in (f"--{name}", str(value))]


def _llamacpp_busy(address: str) -> int:
    slots: list[dict[str, Any]] = json.loads(fetch(address + "/slots"))
    return sum(bool(slot["is_processing"]) for slot in slots)


def _vllm_busy(address: str) -> int:
    lines = fetch(address + "/metrics").decode().splitlines()
    told = [line for line in lines if line.startswith("vllm:num_requests_running")]
    return int(sum(float(line.rpartition(" ")[2]) for line in told))


_COMMANDS: dict[str, Callable[[Path, int], list[str]]] = {"llamacpp": _llamacpp, "vllm": _vllm}
_COUNT: dict[str, Callable[[str], int]] = {"llamacpp": _llamacpp_busy, "vllm": _vllm_busy}
