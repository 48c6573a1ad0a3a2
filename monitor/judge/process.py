"""The judge's process as the proxy sees it: started, asked one question at a time, always ended."""

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import Callable, Sequence

import msgspec

from monitor.errors import JudgeUnavailable
from monitor.judge.frames import (
    HEAD_BYTES,
    Failed,
    Question,
    Ready,
    Reply,
    body_length,
    pack,
    unpack_reply,
)

READY_SECONDS = 300.0  # a model may have to be fetched
ANSWER_SECONDS = 120.0
END_SECONDS = 0.5


class JudgeGone(Exception):
    """The process died, hangs, or speaks nonsense. It was ended."""


def worker_command(
    model: str | None, find: Callable[[str], object | None] = importlib.util.find_spec
) -> list[str]:
    """The command line of the judge's process.

    Args:
        find: looks for an installed module without importing it.

    Raises:
        JudgeUnavailable: what it needs is not installed.
    """
    for module in ("torch", "transformers"):
        if find(module) is None:
            raise JudgeUnavailable(
                f"--judge needs {module}, which is not installed: pip install 'specwatch[backend]'"
            )
    return [sys.executable, "-m", "monitor.judge.worker", *([] if model is None else [model])]


class JudgeProcess:
    """One child in a session of its own, so that Ctrl-C reaches it only through us.

    Its standard error is dropped: a traceback of a library could quote a text.

    Args:
        command: as from ``worker_command``.
        answer_seconds: a question that takes longer is taken for a hang.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready_seconds: float = READY_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._command = list(command)
        self._ready_seconds = ready_seconds
        self._answer_seconds = answer_seconds
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_up(self) -> bool:
        """Whether it can be asked."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and wait until its model is loaded.

        Raises:
            JudgeUnavailable: it cannot load the model, or died of it.
        """
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            reply = await self._receive(self._ready_seconds)
        except JudgeGone as error:
            raise JudgeUnavailable(f"the judge did not start: {error}") from error
        except BaseException:
            await self.stop()
            raise
        if not isinstance(reply, Ready):
            await self.stop()
            raise JudgeUnavailable(reply.reason if isinstance(reply, Failed) else "not a judge")

    async def ask(self, question: Question) -> Reply:
        """Its reply.

        Raises:
            JudgeGone: there is none, and never will be.
        """
        if self._process is None or self._process.stdin is None:
            raise JudgeGone("it does not run")
        try:
            self._process.stdin.write(pack(question))
            await self._process.stdin.drain()
        except OSError as error:
            await self.stop()
            raise JudgeGone("it died") from error
        return await self._receive(self._answer_seconds)

    async def stop(self) -> None:
        """End it: its input ends, and a moment later it is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except (TimeoutError, asyncio.CancelledError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _receive(self, seconds: float) -> Reply:
        assert self._process is not None, "asked before start"
        assert self._process.stdout is not None, "started without a pipe"
        stream = self._process.stdout
        try:
            async with asyncio.timeout(seconds):
                head = await stream.readexactly(HEAD_BYTES)
                return unpack_reply(await stream.readexactly(body_length(head)))
        except TimeoutError as error:
            await self._kill()
            raise JudgeGone(f"it gave no answer within {seconds:g} s") from error
        except asyncio.IncompleteReadError as error:
            await self._kill()
            raise JudgeGone("it died") from error
        except (msgspec.DecodeError, ValueError, OSError) as error:
            await self._kill()
            raise JudgeGone("it sent nonsense") from error

    async def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self.stop()
