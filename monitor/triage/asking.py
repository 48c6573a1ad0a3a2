"""Sends the request and the load, listens to the answers, reads the engine's numbers."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from detectors.acceptance.library import packaged_baselines
from detectors.panels import DefaultPanel
from monitor.ablation.listening import Listener
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import read_metrics
from monitor.traffic.answer_reader import AnswerReader
from monitor.traffic.request_body import Asking
from monitor.traffic.schedule import Planned
from monitor.traffic.sender import HttpSender
from monitor.traffic.trace import TraceRequest
from monitor.triage.association import Sample
from monitor.triage.errors import CannotTriage
from retry_proxy.engines.adapter import EngineProfile

GAUGES = (Quantity.WAITING, Quantity.RUNNING, Quantity.CACHE_USAGE)
COUNTERS = (Quantity.PREEMPTIONS, Quantity.ABORTS)
_HOST_LOADS = re.compile(r"^specwatch_engine_host_loaded_pages_total\S* (\S+)", re.M)
LOAD_PROMPT_TOKENS, LOAD_ANSWER_TOKENS = 256, 64
CONTROL_TEXT = "The lighthouse keeper climbed the stairs as he did every evening. That night"
SETTLE_TRIES, SETTLE_TRY_SECONDS = 60, 0.5


class Trial:
    """One answer.

    Attributes:
        finding: kind of the panel's finding, ``None`` if there was none.
        causes: what the engine's record says of it; ``None`` where it has none.
        failure: why there is no whole answer.
    """

    def __init__(
        self, finding: str | None, causes: tuple[str, ...] | None, failure: str | None
    ) -> None:
        self.finding, self.causes, self.failure = finding, causes, failure

    @property
    def is_anomalous(self) -> bool:
        return self.finding is not None or bool(self.causes)


class Target:
    """One replica with SGLang's ``/generate``; not a proxy, which would heal what is looked for."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        asking: Asking,
        profile: EngineProfile,
        body: Mapping[str, Any],
    ) -> None:
        self._session, self._address = session, address.rstrip("/")
        self._asking, self._has_record = asking, asking.asks_sanitizer
        self._body = {**body, "stream": True}
        if self._has_record:
            self._body["return_kv_sanitizer"] = True
        self._control = {**self._body, "text": CONTROL_TEXT}
        self._control.pop("input_ids", None)
        self._profile = profile
        sampling = body.get("sampling_params")
        temperature = sampling.get("temperature") if isinstance(sampling, dict) else None
        self._baselines = packaged_baselines().find(asking.model, profile.name, temperature)

    async def sample(self) -> tuple[Trial, Sample]:
        """The request once, and the engine's numbers about it."""
        before, _ = await self.numbers()
        trial = await self.ask()
        after, has_any = await self.numbers()
        names = [each.value for each in GAUGES]
        numbers = {name: max(before.get(name, 0.0), after[name]) for name in names if name in after}
        for name in (*(each.value for each in COUNTERS), "host_loads"):
            if has_any and name in after:
                numbers[name] = after[name] - before.get(name, 0.0)
        return trial, Sample(numbers, trial.is_anomalous)

    async def ask(self, *, is_control: bool = False) -> Trial:
        """``is_control``: another, harmless request with the same settings.

        Raises ``CannotTriage`` if the target refuses it.
        """
        body = self._control if is_control else self._body
        try:
            async with self._session.post(self._address + "/generate", json=body) as response:
                if 400 <= response.status < 500:
                    said = (await response.text())[:300]
                    raise CannotTriage(
                        f"the target refuses the request ({response.status}): {said}"
                    )
                if response.status != 200:
                    return Trial(None, None, f"status {response.status}")
                return await self._listen(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Trial(None, None, type(error).__name__)

    async def _listen(self, response: aiohttp.ClientResponse) -> Trial:
        listener, reader = (
            Listener(self._profile, DefaultPanel(baselines=self._baselines)),
            AnswerReader(response.headers),
        )
        async for data in response.content.iter_any():
            listener.hear(data)
            reader.feed(data, time.monotonic())
        reader.finish()
        finding = None if listener.verdict is None else listener.verdict.kind.value
        causes = None if reader.sanitizer is None else reader.sanitizer.causes
        return Trial(finding, causes, None if reader.failure is None else reader.failure.value)

    async def numbers(self) -> tuple[dict[str, float], bool]:
        """What the engine tells now, and whether it tells anything."""
        try:
            async with self._session.get(self._address + "/metrics") as response:
                text = await response.text() if response.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError):
            return {}, False
        found = {name.value: value for name, value in read_metrics(text, None).values.items()}
        if loads := _HOST_LOADS.search(text):
            with suppress(ValueError):
                found["host_loads"] = float(loads[1])
        return found, bool(found)

    async def settle(self, seconds: float) -> None:
        """Waits so long, and until what earlier requests left behind is gone, as far as it tells.

        Raises ``CannotTriage`` if others use the target: then nothing here is alone.
        """
        await asyncio.sleep(seconds)
        for _ in range(SETTLE_TRIES):
            numbers, _ = await self.numbers()
            if not numbers.get(Quantity.RUNNING.value) and not numbers.get(Quantity.WAITING.value):
                return
            await asyncio.sleep(SETTLE_TRY_SECONDS)
        raise CannotTriage("the target has other requests: take it out of the fleet first (drain)")

    @asynccontextmanager
    async def under_load(self, at_once: int, api_key: str | None) -> AsyncIterator[None]:
        """So many other requests run all the while; each prompt is a new one."""
        async with HttpSender(self._address, self._asking, api_key, 600.0) as sender:
            tasks = [asyncio.create_task(self._load(sender, first)) for first in range(at_once)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, sender: HttpSender, first: int) -> None:
        number = first * 1_000_000
        while True:
            request = TraceRequest(
                0.0,
                input_tokens=LOAD_PROMPT_TOKENS,
                output_tokens=LOAD_ANSWER_TOKENS,
                block_tokens=LOAD_PROMPT_TOKENS,
            )
            outcome = await sender.send(Planned(number, 0.0, request), time.monotonic())
            number += 1
            if outcome.failure is not None:
                await asyncio.sleep(0.05)
