"""The two ways to send one of the demo's requests: straight to a replica, or through the proxy."""

import uuid
from collections.abc import Sequence

import aiohttp

from monitor.demo.admin import read_attempt, request_story
from monitor.demo.client import Reply, ask, chat_body
from monitor.demo.judge import Answer, Attempt
from monitor.demo.options import DemoOptions
from monitor.demo.prompts import PROMPTS


def prompt_of(index: int) -> str:
    """The question of request ``index``; both phases ask the same."""
    return PROMPTS[index % len(PROMPTS)]


class Direct:
    """Round robin over the replicas, as a plain load balancer does."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        replicas: Sequence[str],
        model: str,
        options: DemoOptions,
    ) -> None:
        self._session = session
        self._replicas = replicas
        self._model = model
        self._options = options

    async def send(self, index: int) -> Answer:
        """One request, one attempt."""
        rid = f"{uuid.uuid4().hex}01"
        options = self._options
        body = chat_body(
            prompt_of(index), self._model, options.max_tokens, options.temperature, rid
        )
        reply = await ask(self._session, self._replicas[index % len(self._replicas)], body)
        return direct_answer(reply, rid)


class Through:
    """Through the proxy; its monitor tells which attempts a request took."""

    def __init__(
        self, session: aiohttp.ClientSession, proxy: str, model: str, options: DemoOptions
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._model = model
        self._options = options

    async def send(self, index: int) -> Answer:
        """One request, as many attempts as it takes."""
        options = self._options
        body = chat_body(
            prompt_of(index), self._model, options.max_tokens, options.temperature, None
        )
        reply = await ask(self._session, self._proxy, body)
        story = None
        if reply.request_id is not None:
            story = await request_story(self._session, self._proxy, reply.request_id)
        return protected_answer(reply, story)


def direct_answer(reply: Reply, rid: str) -> Answer:
    """What a replica itself answered: everything it generated went to the client."""
    attempt = Attempt(
        rid=rid,
        outcome="completed" if reply.is_full else "failed",
        completion_tokens=reply.completion_tokens,
        released_tokens=reply.completion_tokens,
    )
    return Answer(reply.is_full, reply.seconds, (attempt,), error=reply.error)


def protected_answer(reply: Reply, story: dict[str, object] | None) -> Answer:
    """What the proxy answered. Without the monitor's record nothing can be judged: not full."""
    if story is None:
        error = reply.error or "the monitor has no record of this request"
        return Answer(False, reply.seconds, (), error=error)
    attempts = story["attempts"]
    delay = story["added_delay_seconds"]
    assert isinstance(attempts, list)
    return Answer(
        is_full=reply.is_full,
        seconds=reply.seconds,
        attempts=tuple(map(read_attempt, attempts)),
        added_delay_seconds=float(delay) if isinstance(delay, int | float) else 0.0,
        error=reply.error,
    )
