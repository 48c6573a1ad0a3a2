"""Runs the engine's loop in its own thread and gives asyncio callers a stream per generation."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol

from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultPlan, FaultRecord
from inference_backend.engine.own_stream import own_stream
from inference_backend.engine.request import GenerationRequest, StepOutput
from inference_backend.engine.snapshot import EngineSnapshot
from inference_backend.errors import (
    BackendError,
    EngineBusy,
    EngineStopped,
    InvalidRequest,
    TransferFailed,
)
from inference_backend.kv.sanitizer import SanitizerRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listener:
    """Where a generation's outputs go; ``None`` in the queue means that the engine stopped."""

    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[StepOutput | None]"


class Gate(Protocol):
    """What a request must pass before the engine takes it."""

    async def enter(self, request: GenerationRequest) -> None:
        """Raises ``BackendError`` if it must not pass."""
        ...

    def refuse(self, request: GenerationRequest, message: str) -> None:
        """It passed, and the engine did not take it."""
        ...


class EngineService:
    """The engine as the server sees it. All public methods may be called from any thread."""

    def __init__(self, engine: Engine, max_waiting: int) -> None:
        self._engine = engine
        self._max_waiting = max_waiting
        self.gate: Gate | None = None
        self._listeners: dict[str, _Listener] = {}
        self._mailbox = engine.mailbox
        self._mailbox.wake = self._notify
        self._wake = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Ends the loop after the current step; open streams raise ``EngineStopped``."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        self._thread.join(timeout_seconds)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[StepOutput, None]:
        """Streams one generation. Closing the generator aborts it within one step.

        Raises:
            InvalidRequest: the request could never be finished here.
            EngineBusy: the queue is full.
            EngineStopped: the loop is not running (any more).
            TransferFailed: the prompt was computed elsewhere and did not arrive.
        """
        listener = await self._enter(request)
        self._send(lambda: self._engine.add(request))
        is_over = False
        try:
            while not is_over:
                output = await listener.queue.get()
                if output is None:
                    is_over = True
                    raise EngineStopped("the engine stopped while this generation was running")
                is_over = output.finish_reason is not None
                if output.is_transfer_failure:
                    raise TransferFailed(output.abort_message)
                yield output
        finally:
            self._listeners.pop(request.request_id, None)
            if not is_over:
                self._send(lambda: self._abort(request.request_id))

    async def _enter(self, request: GenerationRequest) -> _Listener:
        self._engine.check(request)
        if self.gate is None:
            return self._admit(request)
        await self.gate.enter(request)
        try:
            return self._admit(request)
        except BackendError as error:
            self.gate.refuse(request, str(error))
            raise

    def _admit(self, request: GenerationRequest) -> _Listener:
        """Refuses what cannot be served before the loop sees it; registers a listener else."""
        self._engine.check(request)
        listener = _Listener(asyncio.get_running_loop(), asyncio.Queue())
        with self._wake:
            if not self.is_alive:
                raise EngineStopped("the engine is not running")
            if self._num_queued >= self._max_waiting:
                raise EngineBusy(
                    f"{self._max_waiting} requests are waiting already; try again later"
                )
            if request.request_id in self._listeners:
                raise InvalidRequest(f"a request with id {request.request_id} is running already")
            self._listeners[request.request_id] = listener
        return listener

    @property
    def _num_queued(self) -> int:
        return self._engine.num_waiting + len(self._mailbox)

    def abort(self, rid_prefix: str) -> int:
        """Aborts all generations whose id begins so; their streams end with finish reason abort."""
        return self._abort_where(lambda request_id: request_id.startswith(rid_prefix))

    def abort_all(self) -> int:
        return self._abort_where(lambda _: True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and not self._is_stopping

    def snapshot(self) -> EngineSnapshot:
        return self._engine.snapshot(is_alive=self.is_alive)

    def set_faults(self, plan: FaultPlan | None) -> None:
        self._send(lambda: self._engine.set_faults(plan))

    def faults(self) -> FaultPlan | None:
        return self._engine.faults()

    def fault_records(self) -> list[FaultRecord]:
        return self._engine.fault_records()

    def sanitizer_records(self) -> list[SanitizerRecord]:
        return self._engine.sanitizer_records()

    def _abort_where(self, is_meant: Callable[[str], bool]) -> int:
        doomed = [request_id for request_id in list(self._listeners) if is_meant(request_id)]
        for request_id in doomed:
            self._send(lambda request_id=request_id: self._abort(request_id))  # type: ignore[misc]
        return len(doomed)

    def _abort(self, request_id: str) -> None:
        output = self._engine.abort(request_id)
        if output is not None:
            self._deliver([output])

    def _send(self, command: Callable[[], None]) -> None:
        self._mailbox.post(command)

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        """The loop.

        A failing step ends the service: a cache in an unknown state must not answer anybody.
        """
        try:
            with own_stream(self._engine.runner.store.device):
                while self._wait_for_work():
                    self._deliver(self._engine.step())
        except Exception:
            log.exception("the engine's loop died")
        finally:
            with self._wake:
                self._is_stopping = True
            self._say_goodbye()

    def _wait_for_work(self) -> bool:
        """Carries out what was asked for; sleeps while there is nothing to do.

        False ends the loop.
        """
        with self._wake:
            while not (self._mailbox or self._engine.can_step or self._is_stopping):
                self._wake.wait()
        self._mailbox.run()
        return not self._is_stopping

    def _deliver(self, outputs: list[StepOutput]) -> None:
        for output in outputs:
            listener = self._listeners.get(output.request_id)
            if listener is not None:
                _post(listener, output)

    def _say_goodbye(self) -> None:
        for listener in list(self._listeners.values()):
            _post(listener, None)


def _post(listener: _Listener, output: StepOutput | None) -> None:
    """Hands an output over to the listener's event loop, unless that has been closed."""
    with contextlib.suppress(RuntimeError):  # closed; asking before would leave a gap
        listener.loop.call_soon_threadsafe(listener.queue.put_nowait, output)
