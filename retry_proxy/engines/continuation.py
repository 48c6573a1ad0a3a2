"""Request bodies that continue an answer from a released prefix. Shared by the engines."""

from typing import Any

from retry_proxy.engines.adapter import Prefix
from retry_proxy.engines.call import GenerationCall, Route


def continued_body(
    call: GenerationCall,
    prefix: Prefix,
    *,
    default_max_tokens: int | None,
    takes_chat_ids: bool = False,
) -> dict[str, Any] | None:
    """The client's body, starting after ``prefix`` and with its token limit reduced.

    Token ids are used where both the prompt's and the prefix's are known: no text is tokenised
    twice.

    Args:
        default_max_tokens: what the engine takes if the client named no limit; ``None``: no limit.
        takes_chat_ids: the engine's chat route takes ``input_ids`` in place of the messages.

    Returns:
        ``None`` if this request cannot be continued from this prefix.
    """
    if not call.is_continuable:
        return None
    build = {
        Route.GENERATE: _generate_prompt,
        Route.CHAT: _chat_prompt,
        Route.COMPLETIONS: _completions_prompt,
    }[call.route]
    prompt = build(call.body, prefix)
    if call.route is Route.CHAT and takes_chat_ids:
        prompt = _chat_ids(prefix) or prompt
    if prompt is None:
        return None
    body = {**call.body, **prompt}
    limit = default_max_tokens if call.max_tokens is None else call.max_tokens
    if limit is not None:
        _reduce_limit(call.route, body, max(1, limit - prefix.tokens))
    return body


def _reduce_limit(route: Route, body: dict[str, Any], limit: int) -> None:
    if route is Route.GENERATE:
        body["sampling_params"] = {**(body.get("sampling_params") or {}), "max_new_tokens": limit}
        return
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(body.get(name), int):
            body[name] = limit
    if "max_completion_tokens" not in body and "max_tokens" not in body:
        body["max_tokens"] = limit


def _generate_prompt(body: dict[str, Any], prefix: Prefix) -> dict[str, Any] | None:
    input_ids = body.get("input_ids")
    if isinstance(input_ids, list):
        if prefix.token_ids is None:
            return None
        return {"input_ids": [*input_ids, *prefix.token_ids]}
    text = body.get("text")
    return {"text": text + prefix.text} if isinstance(text, str) else None


def _completions_prompt(body: dict[str, Any], prefix: Prefix) -> dict[str, Any] | None:
    prompt = body.get("prompt")
    prompt_ids = prompt if isinstance(prompt, list) else prefix.prompt_token_ids
    if prompt_ids is not None and prefix.token_ids is not None:
        return {"prompt": [*prompt_ids, *prefix.token_ids]}
    return {"prompt": prompt + prefix.text} if isinstance(prompt, str) else None


def _chat_ids(prefix: Prefix) -> dict[str, Any] | None:
    if prefix.prompt_token_ids is None or prefix.token_ids is None:
        return None
    return {"input_ids": [*prefix.prompt_token_ids, *prefix.token_ids]}


def _chat_prompt(body: dict[str, Any], prefix: Prefix) -> dict[str, Any] | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return None
    last = messages[-1]
    if last.get("role") == "assistant" and body.get("continue_final_message"):
        if not isinstance(last.get("content"), str):
            return None
        extended = {**last, "content": last["content"] + prefix.text}
        return {"messages": [*messages[:-1], extended], "continue_final_message": True}
    answer = {"role": "assistant", "content": prefix.text}
    return {"messages": [*messages, answer], "continue_final_message": True}
