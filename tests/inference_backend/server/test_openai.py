"""The OpenAI routes, with SGLang's extensions on every chunk."""

from collections.abc import Callable
from typing import Any

from inference_backend.engine.request import FinishReason
from tests.fakes.byte_tokenizer import IM_END, ids_of
from tests.fakes.generation import ScriptedService
from tests.inference_backend.server.conftest import Served

Serve = Callable[..., Served]
HELLO = [{"role": "user", "content": "hello"}]


def hello_service() -> ScriptedService:
    steps = [ids_of("Hi"), ids_of(" you"), (IM_END,)]
    return ScriptedService(steps=steps, ending=FinishReason.STOP, stop_token=IM_END)


async def test_chat_stream_opens_with_the_role_and_sends_a_chunk_a_step(serve: Serve) -> None:
    chunks: list[Any] = await serve(hello_service()).events(
        "/v1/chat/completions", {"model": "tiny", "messages": HELLO, "rid": "r1"}
    )
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {"content": " you"},
        {"content": ""},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert chunks[-1]["choices"][0]["matched_stop"] == IM_END
    assert {chunk["id"] for chunk in chunks} == {"r1"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("sglext" in chunk or "usage" in chunk for chunk in chunks)


async def test_spec_details_are_on_every_chunk_that_has_tokens(serve: Serve) -> None:
    chunks: list[Any] = await serve(hello_service()).events(
        "/v1/chat/completions", {"messages": HELLO, "return_spec_tokens_details": True}
    )
    details = [chunk["sglext"]["spec_tokens_details"] for chunk in chunks[1:]]
    assert "sglext" not in chunks[0]
    assert details[0] == {"completion_tokens": 2}
    assert details[1] == {
        "completion_tokens": 6,
        "spec_verify_ct": 1,
        "spec_accept_length": 6.0,
        "spec_accept_rate": 1.0,
        "spec_num_correct_drafts": 3,
        "spec_num_proposed_drafts": 3,
    }
    assert details[2]["completion_tokens"] == 7


async def test_token_ids_are_deltas_and_the_prompt_comes_once(serve: Serve) -> None:
    chunks: list[Any] = await serve(hello_service()).events(
        "/v1/chat/completions", {"input_ids": [5, 6], "return_token_ids": True}
    )
    assert chunks[0]["prompt_token_ids"] == [5, 6]
    assert not any("prompt_token_ids" in chunk for chunk in chunks[1:])
    assert [chunk["choices"][0]["token_ids"] for chunk in chunks[1:]] == [
        list(ids_of("Hi")),
        list(ids_of(" you")),
        [IM_END],
    ]


async def test_usage_comes_at_the_end_or_on_every_chunk(serve: Serve) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks: list[Any] = await serve(hello_service()).events(
        "/v1/completions", {"prompt": [1, 2, 3], "stream_options": options}
    )
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [2, 6, 7, 7]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 7,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


async def test_completion_stream_has_texts_and_prompt_ids_in_the_choice(serve: Serve) -> None:
    service = hello_service()
    chunks: list[Any] = await serve(service).events(
        "/v1/completions", {"prompt": ["ab"], "return_token_ids": True}
    )
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["Hi", " you", ""]
    assert chunks[0]["choices"][0]["prompt_token_ids"] == list(ids_of("ab"))
    assert "prompt_token_ids" not in chunks[1]["choices"][0]


async def test_whole_chat_answer(serve: Serve) -> None:
    response = await serve(hello_service()).client.post(
        "/v1/chat/completions", json={"messages": HELLO, "return_spec_tokens_details": True}
    )
    body = response.json()
    assert body["object"] == "chat.completion"
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hi you"}
    assert (choice["finish_reason"], choice["matched_stop"]) == ("stop", IM_END)
    assert body["usage"]["completion_tokens"] == 7
    assert body["sglext"]["spec_tokens_details"]["spec_verify_ct"] == 2


async def test_messages_are_rendered_by_the_models_template(serve: Serve) -> None:
    service = hello_service()
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    await serve(service).client.post("/v1/chat/completions", json={"messages": messages})
    assert text_of(service) == "<system\nbe kind>\n<user\nab>\n<assistant\n"


async def test_final_message_is_continued_exactly(serve: Serve) -> None:
    service = hello_service()
    messages = [*HELLO, {"role": "assistant", "content": "I am "}]
    body = {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    await serve(service).client.post("/v1/chat/completions", json=body)
    assert text_of(service) == "<user\nhello>\n<assistant\nI am "


async def test_answer_may_fill_the_context_up_to_1024_tokens(serve: Serve) -> None:
    service = hello_service()
    client = serve(service).client
    await client.post("/v1/completions", json={"prompt": [1] * 12})
    await client.post(
        "/v1/chat/completions",
        json={"messages": HELLO, "max_completion_tokens": 9, "max_tokens": 5, "seed": 3},
    )
    assert [request.sampling.max_new_tokens for request in service.requests] == [500, 9]


def text_of(service: ScriptedService) -> str:
    """The prompt, with the two special tokens shown as < and >."""
    marks = {256: ord("<"), 257: ord(">")}
    return bytes(marks.get(token, token) for token in service.requests[0].prompt_ids).decode()
