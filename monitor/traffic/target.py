"""Finds out how a target is to be asked: its API, its model, and how it counts our words."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from monitor.traffic.errors import BadTarget
from monitor.traffic.outcome import Outcome
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.schedule import Planned
from monitor.traffic.sender import HttpSender
from monitor.traffic.trace import TraceRequest

_TIMEOUT_SECONDS = 10.0
_SHORT_WORDS, _LONG_WORDS = 64, 320


async def ask_target(
    target: str, api: Api | None, asking: Asking, api_key: str | None, timeout_seconds: float
) -> Asking:
    """How to ask it, with what was not given filled in.

    Two requests for one token each tell how many tokens our words have there; both have to be
    answered, so that a target that refuses everything is found out before the replay.

    Args:
        api: ``None``: token ids where the target has SGLang's native route, else chats.

    Raises:
        BadTarget: it cannot be reached, or refuses the requests.
    """
    if urlsplit(target).scheme not in {"http", "https"} or not urlsplit(target).netloc:
        raise BadTarget(f"{target}: not an address such as http://127.0.0.1:30000")
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    timeout = aiohttp.ClientTimeout(_TIMEOUT_SECONDS)
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            info = await _json(session, f"{target.rstrip('/')}/server_info")
            models = await _json(session, f"{target.rstrip('/')}/v1/models")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise BadTarget(f"{target}: cannot be reached ({error or type(error).__name__})") from error
    chosen = msgspec.structs.replace(
        asking,
        api=api or choose_api(info, has_corpus=bool(asking.corpus)),
        model=asking.model or first_model(models),
        highest_id=vocabulary_of(info) or asking.highest_id,
        asks_sanitizer=info.get("engine") == "specwatch",
    )
    return await _calibrated(target, chosen, api_key, timeout_seconds)


def choose_api(info: dict[str, Any], *, has_corpus: bool) -> Api:
    """By what the target says of itself. SGLang and the integrated engine name their drafts."""
    is_native = any(name.startswith("speculative_") for name in info)
    if not is_native:
        return Api.CHAT
    return Api.GENERATE_TEXT if has_corpus else Api.GENERATE


def first_model(models: dict[str, Any]) -> str:
    """The first model that the target lists, ``""`` if none."""
    data = models.get("data")
    first = data[0] if isinstance(data, list) and data else {}
    name = first.get("id") if isinstance(first, dict) else None
    return name if isinstance(name, str) else ""


def vocabulary_of(info: dict[str, Any]) -> int | None:
    """Its size, where the target tells it."""
    size = info.get("vocab_size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def fit(short: int | None, long: int | None) -> tuple[float, float] | None:
    """(tokens per word, tokens beside the words) from the counts of two prompts.

    ``None`` where they make no sense: the target counts no prompts, or counts something else.
    """
    if short is None or long is None or long <= short:
        return None
    per_word = (long - short) / (_LONG_WORDS - _SHORT_WORDS)
    extra = short - per_word * _SHORT_WORDS
    return (per_word, max(0.0, extra)) if 0.2 <= per_word <= 20 else None


async def _json(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    """An object, empty if the target has no such route."""
    async with session.get(address) as response:
        content = await response.read()
    try:
        found = msgspec.json.decode(content) if response.status == 200 else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


async def _calibrated(
    target: str, asking: Asking, api_key: str | None, timeout_seconds: float
) -> Asking:
    async with HttpSender(target, asking, api_key, timeout_seconds) as sender:
        counts = []
        for number, words in enumerate((_SHORT_WORDS, _LONG_WORDS)):
            request = TraceRequest(0.0, input_tokens=words, output_tokens=1, block_tokens=words)
            outcome = await sender.send(Planned(-1 - number, 0.0, request), 0.0)
            if outcome.failure is not None:
                raise BadTarget(f"{target}: {asking.api.path} {_said(outcome)}")
            counts.append(outcome.prompt_tokens)
            await asyncio.sleep(0)
    found = None if asking.api is Api.GENERATE else fit(*counts)
    if found is None:
        return asking
    per_word, extra = found
    return msgspec.structs.replace(asking, tokens_per_word=per_word, extra_tokens=extra)


def _said(outcome: Outcome) -> str:
    hint = {
        400: "; perhaps it refuses ignore_eos (--no-ignore-eos) or another --api fits",
        401: "; give --api-key",
        404: "; another --api may fit",
    }
    if outcome.status is not None and outcome.status != 200:
        return f"answers with status {outcome.status}{hint.get(outcome.status, '')}"
    assert outcome.failure is not None, "only failures are told"
    return f"gives no whole answer ({outcome.failure.value})"
