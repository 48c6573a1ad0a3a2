"""Sends one planned request and reads its answer. The only file of a replay that opens sockets."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp

from monitor.traffic.answer_reader import AnswerReader
from monitor.traffic.outcome import Failure, Outcome
from monitor.traffic.request_body import Asking, build_body, build_prompts
from monitor.traffic.schedule import Planned

_CONNECT_SECONDS = 10.0


class HttpSender:
    """Asks a target.

    Args:
        target: its address, as ``http://127.0.0.1:30000``.
        api_key: sent as a bearer token.
        timeout_seconds: for one whole answer.
        listen: makes for a request what hears the bytes of its answer; by default nobody does.
    """

    def __init__(
        self,
        target: str,
        asking: Asking,
        api_key: str | None,
        timeout_seconds: float,
        listen: Callable[[Planned], Callable[[bytes], None]] | None = None,
    ) -> None:
        self._address = target.rstrip("/") + asking.api.path
        self._asking = asking
        self._listen = listen
        self._prompts = build_prompts(asking)
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._timeout = aiohttp.ClientTimeout(timeout_seconds, sock_connect=_CONNECT_SECONDS)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=self._timeout,
            headers=self._headers,
            auto_decompress=True,
            read_bufsize=2**18,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None, "left without having been entered"
        await self._session.close()

    async def send(self, planned: Planned, due_at: float) -> Outcome:
        """One request to its end.

        Args:
            due_at: by ``time.monotonic``.

        Raises:
            asyncio.CancelledError: the replay was stopped.
        """
        assert self._session is not None, "sent outside of the context"
        body = build_body(self._asking, self._prompts, planned)
        hear = self._listen(planned) if self._listen is not None else None
        started = time.monotonic()
        reader: AnswerReader | None = None
        failure: Failure | None = None
        status: int | None = None
        try:
            async with self._session.post(self._address, data=body) as response:
                status = response.status
                reader = AnswerReader(
                    {name.lower(): value for name, value in response.headers.items()}
                )
                if status != 200:
                    await response.content.read(2**16)
                    failure = Failure.STATUS
                else:
                    async for data in response.content.iter_any():
                        reader.feed(data, time.monotonic())
                        if hear is not None:
                            hear(data)
                    reader.finish()
        except TimeoutError:
            failure = Failure.TIMEOUT
        except aiohttp.ClientConnectorError:
            failure = Failure.CONNECT
        except (aiohttp.ClientError, OSError):
            failure = Failure.CUT
        return _outcome(planned, due_at, started, status, failure, reader)


def _outcome(
    planned: Planned,
    due_at: float,
    started: float,
    status: int | None,
    failure: Failure | None,
    reader: AnswerReader | None,
) -> Outcome:
    ended = time.monotonic()
    told = reader or AnswerReader({})
    return Outcome(
        number=planned.number,
        at_seconds=planned.at_seconds,
        lag_seconds=max(0.0, started - due_at),
        failure=failure or (None if reader is None else reader.failure),
        status=status,
        first_token_seconds=_since(started, told.first_token_at),
        last_token_seconds=_since(started, told.last_token_at),
        seconds=ended - started,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=told.completion_tokens,
        verdict=told.verdict,
        attempts=told.attempts,
        sanitizer=told.sanitizer,
    )


def _since(started: float, moment: float | None) -> float | None:
    return None if moment is None else moment - started
