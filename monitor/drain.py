"""How the server stops: readiness goes first, then the listener, then what still runs."""

import signal
import time
from types import FrameType

import uvicorn


class Readiness:
    """Whether balancers should send more.

    Attributes:
        is_draining: the process is about to stop.
    """

    def __init__(self) -> None:
        self.is_draining = False


class DrainingServer(uvicorn.Server):
    """Serves until a signal.

    SIGTERM: ``/ready`` says no, and requests are still served while balancers take notice; then no
    connections are taken and running answers get the grace time. SIGINT leaves the first part out.
    The second signal ends everything at once, a third one the process.

    uvicorn's own way is to send itself the signal again once it has stopped, which would end the
    process before the store has written what waits; signals taken here are not sent again.
    """

    def __init__(
        self, config: uvicorn.Config, readiness: Readiness, lame_duck_seconds: float
    ) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._lame_duck_seconds = lame_duck_seconds
        self._closes_at: float | None = None  # monotonic

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        if self._readiness.is_draining:
            self.should_exit = self.force_exit = True
            signal.signal(sig, signal.SIG_DFL)
            return
        self._readiness.is_draining = True
        pause = 0.0 if sig == signal.SIGINT else self._lame_duck_seconds
        self._closes_at = time.monotonic() + pause

    async def on_tick(self, counter: int) -> bool:
        """Looks ten times a second whether it is time."""
        if self._closes_at is not None and time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)
