"""The body of one replayed request, for each kind of API. Pure."""

import enum
from typing import Any

import msgspec

from monitor.traffic.prompts import HIGHEST_ID, IdPrompts, Prompts, Scale, TextPrompts
from monitor.traffic.schedule import Planned


class Api(enum.StrEnum):
    """How the target is asked."""

    GENERATE = "generate"  # SGLang's native route, with token ids: exact lengths
    GENERATE_TEXT = "generate-text"
    COMPLETIONS = "completions"
    CHAT = "chat"

    @property
    def path(self) -> str:
        """The route."""
        return {
            Api.GENERATE: "/generate",
            Api.GENERATE_TEXT: "/generate",
            Api.COMPLETIONS: "/v1/completions",
            Api.CHAT: "/v1/chat/completions",
        }[self]


class Asking(msgspec.Struct, frozen=True):
    """How every request of a replay is made.

    Attributes:
        model: ``""`` where the API needs none.
        ignores_eos: the answer has the recorded length, whatever the model would do. SGLang, vLLM
            and the integrated engine take it; OpenAI's own servers refuse it.
        temperature: in place of the recorded one.
        tokens_per_word, extra_tokens, highest_id: see ``Scale``.
        seed: see ``TextPrompts``.
        corpus: words of the text that prompts are cut from.
        asks_sanitizer: the integrated engine tells its own record with the answer (on its native
            route; others may refuse the field).
    """

    api: Api = Api.CHAT
    model: str = ""
    ignores_eos: bool = True
    temperature: float | None = None
    tokens_per_word: float = 1.0
    extra_tokens: float = 0.0
    highest_id: int = HIGHEST_ID
    seed: str = "specwatch"
    corpus: tuple[str, ...] = ()
    asks_sanitizer: bool = False


def build_prompts(asking: Asking) -> Prompts:
    """The writer of prompts that the API takes."""
    scale = Scale(asking.tokens_per_word, asking.extra_tokens, asking.highest_id)
    if asking.api is Api.GENERATE:
        return IdPrompts(scale, asking.seed)
    return TextPrompts(scale, asking.seed, asking.corpus)


def build_body(asking: Asking, prompts: Prompts, planned: Planned) -> bytes:
    """The encoded request: one streamed answer of the recorded length.

    Of the recorded settings all that the API knows are kept, but for ``n``.
    """
    prompt = prompts.encoded(planned)
    length = max(1, planned.request.output_tokens)
    settings: dict[str, Any] = {
        name: value for name, value in planned.request.sampling.items() if name != "n"
    }
    if "top_k" in settings:
        settings["top_k"] = int(settings["top_k"])
    if asking.temperature is not None:
        settings["temperature"] = asking.temperature
    if asking.ignores_eos:
        settings["ignore_eos"] = True
    return msgspec.json.encode(_fields(asking, prompt, settings, length))


def _fields(
    asking: Asking, prompt: msgspec.Raw, settings: dict[str, Any], length: int
) -> dict[str, Any]:
    if asking.api in (Api.GENERATE, Api.GENERATE_TEXT):
        name = "input_ids" if asking.api is Api.GENERATE else "text"
        sampling = {**settings, "max_new_tokens": length}
        told = {"return_kv_sanitizer": True} if asking.asks_sanitizer else {}
        return {name: prompt, "sampling_params": sampling, "stream": True, **told}
    body = {
        **settings,
        "max_tokens": length,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if asking.model:
        body["model"] = asking.model
    if asking.api is Api.CHAT:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    return body
