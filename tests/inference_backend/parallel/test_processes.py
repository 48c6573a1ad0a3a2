"""A prefill of three processes as the command line starts it, with a decode engine in this one."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from safetensors.torch import save_file

from inference_backend.disaggregation.__main__ import free_ports
from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import layout_of
from inference_backend.disaggregation.roles import DecodeRole, make_decode
from inference_backend.disaggregation.shared import SharedTransport
from inference_backend.engine.request import SamplingParams
from inference_backend.engine.service import EngineService
from inference_backend.errors import BackendError
from inference_backend.kv.sanitizer import SanitizerMode
from tests.fakes.byte_tokenizer import build_byte_tokenizer
from tests.fakes.engine_runs import prompt, recomputed, request
from tests.fakes.tiny_model import SHAPE, tiny_engine, tiny_model, tiny_tensors

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
PATIENCE_SECONDS = 60.0
FIVE = replace(SHAPE, num_layers=5)
MODEL = tiny_model(FIVE)
ROOMS = itertools.count(1)


def write_model(folder: Path) -> None:
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": FIVE.hidden_size,
        "intermediate_size": FIVE.intermediate_size,
        "num_hidden_layers": FIVE.num_layers,
        "num_attention_heads": FIVE.num_heads,
        "num_key_value_heads": FIVE.num_kv_heads,
        "head_dim": FIVE.head_dim,
        "vocab_size": FIVE.vocab_size,
        "max_position_embeddings": FIVE.max_context,
        "rms_norm_eps": FIVE.rms_norm_eps,
        "rope_theta": FIVE.rope_theta,
        "tie_word_embeddings": True,
        "eos_token_id": list(FIVE.eos_token_ids),
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tiny_tensors(FIVE), folder / "model.safetensors")
    build_byte_tokenizer().save_pretrained(folder)


@dataclass
class Prefill:
    """The process that was started, which started the others."""

    process: "subprocess.Popen[bytes]"
    url: str
    bootstrap_port: int
    others: list[int]

    async def health(self) -> object:
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            return (await client.get(self.url + "/health")).json()


def ranks_of(pid: int) -> list[int]:
    """The ranks' processes that a process has started, in that order."""
    lists = [file.read_text().split() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    started = sorted(int(child) for child in itertools.chain(*lists))
    return [pid for pid in started if b"inference_backend.parallel" in command_of(pid)]


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def is_gone(pid: int) -> bool:
    """Ended; whether its new parent has asked for its status does not matter."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def wait_for(is_true: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < PATIENCE_SECONDS, "it did not happen"
        time.sleep(0.02)


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the prefill ended"
    try:
        return httpx.get(url + "/health", timeout=PATIENCE_SECONDS).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def prefill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefill]:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_model(folder)
    port, bootstrap_port = free_ports(2)
    arguments = {
        **{"model": folder, "role": "prefill", "transport": "shared", "device": "cpu"},
        **{"prefill-ranks": 3, "kv-layout": "layersplit", "threads": 1, "page-size": 4},
        **{"port": port, "bootstrap-port": bootstrap_port, "kv-sanitizer": "record"},
        **{"log-level": "warning", "shutdown-seconds": 1},
    }
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    process = subprocess.Popen([sys.executable, "-m", "inference_backend", *flags], cwd=ROOT)
    url, others = f"http://{HOST}:{port}", list[int]()
    try:
        wait_for(lambda: answers(url, process))
        others = ranks_of(process.pid)
        yield Prefill(process, url, bootstrap_port, others)
    finally:
        process.kill()
        process.wait()
        wait_for(lambda: all(is_gone(pid) for pid in others))


@dataclass
class Decode:
    """The other half, and how a request goes to both."""

    prefill: Prefill
    service: EngineService
    role: DecodeRole

    async def answer(self, tokens: list[int], new_tokens: int = 12) -> list[int]:
        """Raises ``BackendError``: what decode answered."""
        room = next(ROOMS)
        leg = asyncio.ensure_future(self._compute(tokens, room))
        wanted = replace(
            request(f"r{room}", tokens, new_tokens),
            sampling=SamplingParams(max_new_tokens=new_tokens, temperature=0.0, ignore_eos=True),
            prefill=(HOST, self.prefill.bootstrap_port),
            room=room,
        )
        try:
            return [t async for output in self.service.generate(wanted) for t in output.token_ids]
        finally:
            await leg

    async def _compute(self, tokens: list[int], room: int) -> None:
        body = {
            "input_ids": tokens,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0.0, "ignore_eos": True},
            "bootstrap_room": room,
        }
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            await client.post(self.prefill.url + "/generate", json=body)


@pytest.fixture
async def decode(prefill: Prefill) -> AsyncIterator[Decode]:
    engine = tiny_engine(FIVE, num_drafts=0, sanitizer=SanitizerMode.RECORD)
    store = engine.runner.store
    role = make_decode(
        engine,
        SharedTransport(store),
        layout_of(store, "tiny"),
        AbortProtocol.CONFIRM,
        PATIENCE_SECONDS,
    )
    service = EngineService(engine, 64)
    service.gate = role
    role.link.start()
    service.start()
    try:
        yield Decode(prefill, service, role)
    finally:
        await role.stop()
        service.stop(5.0)
    assert engine.sanitizer_records() == []


async def test_the_command_starts_ranks_and_outlives_one(prefill: Prefill, decode: Decode) -> None:
    """Five layers on three ranks, each of which writes its own into the decode's memory.

    A rank that is killed is told of soon; the request that needed it fails, later ones do not.
    """
    assert await prefill.health() == {"ranks": 3, "ranks_started": 3}
    first = prompt(90, seed=1)
    for tokens in (first, [*first[:80], *prompt(20, seed=2)]):
        assert await decode.answer(tokens) == recomputed(MODEL, tokens, 12)

    os.kill(prefill.others[1], signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await prefill.health() != {"ranks": 2, "ranks_started": 3}:  # noqa: ASYNC110  # a process is waited for
            await asyncio.sleep(0.05)
    with pytest.raises(BackendError, match="rank"):
        await decode.answer(prompt(70, seed=3))
    assert await decode.answer(first) == recomputed(MODEL, first, 12)
    assert await prefill.health() == {"ranks": 2, "ranks_started": 3}


def test_ranks_end_with_the_first_one(prefill: Prefill) -> None:
    """It is killed, and cannot tell them."""
    prefill.process.kill()
    prefill.process.wait()
    wait_for(lambda: all(is_gone(pid) for pid in prefill.others))
