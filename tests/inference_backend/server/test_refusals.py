"""Bad input gets a status and a message that names the field; the engine never sees it."""

from collections.abc import Callable
from typing import Any

import pytest

from inference_backend.errors import EngineBusy, EngineStopped, InvalidRequest
from tests.fakes.byte_tokenizer import ids_of
from tests.fakes.generation import ScriptedService
from tests.inference_backend.server.conftest import Served

Serve = Callable[..., Served]
CHAT, COMPLETION, NATIVE = "/v1/chat/completions", "/v1/completions", "/generate"
USER = [{"role": "user", "content": "hi"}]

BAD_REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    (NATIVE, {}, "exactly one of text and input_ids"),
    (NATIVE, {"text": "a", "input_ids": [1]}, "exactly one of text and input_ids"),
    (NATIVE, {"text": ""}, "text: the prompt is empty"),
    (NATIVE, {"input_ids": []}, "input_ids: the prompt is empty"),
    (NATIVE, {"input_ids": [258]}, "from 0 to 257"),
    (NATIVE, {"input_ids": [-1]}, "from 0 to 257"),
    (NATIVE, {"input_ids": [1.5]}, "$.input_ids[0]"),
    (NATIVE, {"text": ["a", "b"]}, "$.text"),
    (NATIVE, {"text": "a", "rid": 5}, "$.rid"),
    (NATIVE, {"text": "a", "rid": ""}, "rid must have 1 to 256 characters"),
    (NATIVE, {"text": "a", "stream": "yes"}, "$.stream"),
    (NATIVE, {"text": "a", "return_logprob": True}, "return_logprob"),
    (NATIVE, {"text": "a", "sampling_params": {"max_tokens": 5}}, "unknown field `max_tokens`"),
    (NATIVE, {"text": "a", "sampling_params": {"n": 2}}, "n=2 is not supported"),
    (NATIVE, {"text": "a", "sampling_params": {"temperature": -1}}, "temperature"),
    (NATIVE, {"text": "a", "sampling_params": {"temperature": 1e9}}, "temperature"),
    (NATIVE, {"text": "a", "sampling_params": {"top_p": 0}}, "top_p"),
    (NATIVE, {"text": "a", "sampling_params": {"top_p": 1.1}}, "top_p"),
    (NATIVE, {"text": "a", "sampling_params": {"top_k": 0}}, "top_k"),
    (NATIVE, {"text": "a", "sampling_params": {"max_new_tokens": 0}}, "max_new_tokens"),
    (NATIVE, {"text": "a", "sampling_params": {"max_new_tokens": 512}}, "at most 511 can be new"),
    (NATIVE, {"text": "a", "sampling_params": {"sampling_seed": 2**70}}, "64 bits"),
    (NATIVE, {"text": "a", "sampling_params": {"stop": ""}}, "stop: each string must have"),
    (NATIVE, {"text": "a", "sampling_params": {"stop": list("abcdefghijklmnopq")}}, "16"),
    (NATIVE, {"text": "a", "sampling_params": {"stop_token_ids": [999]}}, "stop_token_ids: 999"),
    (NATIVE, {"text": "a", "sampling_params": {"regex": "a+"}}, "regex"),
    (NATIVE, {"text": "a" * 512}, "the context holds 512"),
    (NATIVE, {"text": "a" * 100_000}, "at least"),
    (COMPLETION, {}, "prompt"),
    (COMPLETION, {"prompt": ["a", "b"]}, "one prompt a request"),
    (COMPLETION, {"prompt": [[1], [2]]}, "one prompt a request"),
    (COMPLETION, {"prompt": []}, "empty"),
    (COMPLETION, {"prompt": [1] * 512}, "the context holds 512"),
    (COMPLETION, {"prompt": "a", "logprobs": 0}, "logprobs=0 is not supported"),
    (COMPLETION, {"prompt": "a", "echo": True}, "echo"),
    (COMPLETION, {"prompt": "a", "best_of": 3}, "best_of"),
    (CHAT, {"messages": []}, "messages must not be empty"),
    (CHAT, {"messages": "hi"}, "$.messages"),
    (CHAT, {"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "no tools here"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
    (CHAT, {"messages": USER, "n": 2}, "n=2"),
    (CHAT, {"messages": USER, "logprobs": True}, "logprobs"),
    (CHAT, {"messages": USER, "tools": [{"type": "function"}]}, "tools"),
    (CHAT, {"messages": USER, "response_format": {"type": "json_object"}}, "response_format"),
    (CHAT, {"messages": USER, "frequency_penalty": 0.5}, "frequency_penalty"),
    (CHAT, {"messages": USER, "continue_final_message": True}, "last message of the assistant"),
    (CHAT, {"messages": USER, "chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs"),
    (CHAT, {"messages": USER, "max_tokens": -5}, "max_new_tokens must be at least 1"),
]


@pytest.mark.parametrize(("path", "body", "message"), BAD_REQUESTS)
async def test_bad_request_is_400_and_never_reaches_the_engine(
    serve: Serve, path: str, body: dict[str, Any], message: str
) -> None:
    service = ScriptedService(steps=[ids_of("a")])
    response = await serve(service).client.post(path, json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"
    assert service.requests == []


@pytest.mark.parametrize("path", [NATIVE, CHAT, COMPLETION])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"text": "\xff"}', b"[" * 100_000, b'{"n": NaN}']
)
async def test_broken_json_is_400(serve: Serve, path: str, content: bytes) -> None:
    response = await serve(ScriptedService()).client.post(path, content=content)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


async def test_neutral_values_of_unsupported_fields_are_accepted(serve: Serve) -> None:
    neutral = {
        "n": 1,
        "logprobs": False,
        "tools": [],
        "frequency_penalty": 0,
        "repetition_penalty": 1,
        "response_format": {"type": "text"},
        "user": "someone",
    }
    client = serve(ScriptedService(steps=[ids_of("a")])).client
    response = await client.post(CHAT, json={"messages": USER, **neutral})
    assert response.status_code == 200


@pytest.mark.parametrize("path", [CHAT, COMPLETION])
async def test_unknown_model_is_404(serve: Serve, path: str) -> None:
    body = {"model": "gpt-9", "messages": USER, "prompt": "a"}
    response = await serve(ScriptedService()).client.post(path, json=body)
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert "tiny" in error["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(EngineBusy("full"), 503), (EngineStopped("down"), 503), (InvalidRequest("no room"), 400)],
)
@pytest.mark.parametrize("is_streaming", [True, False])
async def test_engines_refusal_is_a_real_status(
    serve: Serve, error: Any, status: int, is_streaming: bool
) -> None:
    client = serve(ScriptedService(error=error)).client
    response = await client.post(NATIVE, json={"text": "a", "stream": is_streaming})
    assert response.status_code == status
    assert response.json()["error"]["message"] == str(error)
    assert response.json()["error"]["retryable"] is (status == 503)


async def test_engine_that_dies_midway_is_told_in_the_stream(serve: Serve) -> None:
    service = ScriptedService(steps=[ids_of("a")], late_error=EngineStopped("loop died"))
    events: list[Any] = await serve(service).events(COMPLETION, {"prompt": "x"})
    assert events[0]["choices"][0]["text"] == "a"
    assert events[1]["error"]["message"] == "loop died"
    assert len(events) == 2


async def test_engine_that_dies_midway_is_503_without_streaming(serve: Serve) -> None:
    service = ScriptedService(steps=[ids_of("a")], late_error=EngineStopped("loop died"))
    response = await serve(service).client.post(COMPLETION, json={"prompt": "x"})
    assert response.status_code == 503


async def test_unknown_path_and_wrong_method_answer_in_the_same_schema(serve: Serve) -> None:
    client = serve(ScriptedService()).client
    assert (await client.get("/v1/nothing")).json()["error"]["code"] == 404
    assert (await client.get("/generate")).json()["error"]["code"] == 405
