"""/generate as SGLang answers it, but with the counters on every chunk."""

from collections.abc import Callable
from typing import Any

from inference_backend.engine.request import FinishReason
from tests.fakes.byte_tokenizer import IM_END, ids_of
from tests.fakes.generation import ScriptedService
from tests.inference_backend.server.conftest import Served

Serve = Callable[..., Served]


async def test_stream_is_cumulative_with_counters_on_every_chunk(serve: Serve) -> None:
    served = serve(ScriptedService(steps=[ids_of("H"), ids_of("ell"), ids_of("o")]))
    first, second, third = await served.events("/generate", {"text": "say", "rid": "r1"})
    assert first["text"] == "H"
    assert first["meta_info"] == {
        "id": "r1",
        "finish_reason": None,
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "cached_tokens": 4,
    }
    assert (second["text"], second["output_ids"]) == ("Hell", list(ids_of("Hell")))
    assert second["meta_info"] == {
        "id": "r1",
        "finish_reason": None,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "cached_tokens": 4,
        "spec_verify_ct": 1,
        "spec_accept_length": 4.0,
        "spec_accept_rate": 2 / 3,
        "spec_num_correct_drafts": 2,
        "spec_num_proposed_drafts": 3,
    }
    meta: Any = third["meta_info"]
    assert meta["finish_reason"] == {"type": "length", "length": 5}
    assert (meta["spec_verify_ct"], meta["spec_accept_length"]) == (2, 2.5)
    assert meta["e2e_latency"] >= 0


async def test_whole_answer_holds_what_the_last_chunk_holds(serve: Serve) -> None:
    served = serve(ScriptedService(steps=[ids_of('a"'), ids_of("\n€")]))
    response = await served.client.post("/generate", json={"input_ids": [1, 2], "rid": "r1"})
    body = response.json()
    assert (body["text"], body["output_ids"]) == ('a"\n€', list(ids_of('a"\n€')))
    assert body["meta_info"]["completion_tokens"] == 6
    assert body["meta_info"]["finish_reason"]["type"] == "length"


async def test_step_whose_text_is_held_back_still_sends_its_chunk(serve: Serve) -> None:
    euro = ids_of("€")
    served = serve(ScriptedService(steps=[euro[:1], euro[1:2], euro[2:]]))
    chunks: list[Any] = await served.events("/generate", {"text": "x"})
    assert [chunk["text"] for chunk in chunks] == ["", "", "€"]
    assert [chunk["meta_info"]["completion_tokens"] for chunk in chunks] == [1, 2, 3]


async def test_stop_token_ends_it_without_text(serve: Serve) -> None:
    service = ScriptedService(
        steps=[ids_of("ab"), (*ids_of("c"), IM_END)], ending=FinishReason.STOP, stop_token=IM_END
    )
    chunks: list[Any] = await serve(service).events("/generate", {"text": "x"})
    assert chunks[-1]["text"] == "abc"
    assert chunks[-1]["output_ids"] == [*ids_of("abc"), IM_END]
    assert chunks[-1]["meta_info"]["finish_reason"] == {"type": "stop", "matched": IM_END}


async def test_stop_string_over_a_step_border_cuts_and_closes_the_generation(serve: Serve) -> None:
    service = ScriptedService(steps=[ids_of("one E"), ids_of("ND!"), ids_of("never")])
    chunks: list[Any] = await serve(service).events(
        "/generate", {"text": "x", "rid": "r1", "sampling_params": {"stop": "END"}}
    )
    assert [chunk["text"] for chunk in chunks] == ["one ", "one "]
    last = chunks[-1]
    assert last["output_ids"] == list(ids_of("one END"))
    assert last["meta_info"]["completion_tokens"] == 7
    assert last["meta_info"]["finish_reason"] == {"type": "stop", "matched": "END"}
    assert (service.closed, service.open_generations) == (["r1"], 0)


async def test_abort_is_told_with_the_text_so_far(serve: Serve) -> None:
    service = ScriptedService(steps=[ids_of("ab"), ()], ending=FinishReason.ABORT)
    chunks: list[Any] = await serve(service).events("/generate", {"text": "x"})
    assert chunks[-1]["text"] == "ab"
    reason = chunks[-1]["meta_info"]["finish_reason"]
    assert reason == {"type": "abort", "message": "Aborted"}


async def test_sampling_params_reach_the_engine(serve: Serve) -> None:
    service = ScriptedService(steps=[ids_of("a")])
    params = {
        "max_new_tokens": 7,
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 40,
        "stop_token_ids": [10],
        "ignore_eos": True,
        "sampling_seed": 5,
    }
    body = {"text": "ab", "sampling_params": params, "cache_salt": "s", "extra_key": "k"}
    await serve(service).client.post("/generate", json=body)
    request = service.requests[0]
    assert request.prompt_ids == ids_of("ab")
    assert request.cache_salt == "s\0k"
    sampling = request.sampling
    assert (sampling.max_new_tokens, sampling.temperature, sampling.top_p) == (7, 0.0, 0.9)
    assert (sampling.top_k, sampling.seed, sampling.ignore_eos) == (40, 5, True)
    assert sampling.stop_token_ids == frozenset({10})


async def test_without_a_limit_128_tokens_or_what_is_left(serve: Serve) -> None:
    service = ScriptedService(steps=[ids_of("a")])
    client = serve(service).client
    await client.post("/generate", json={"text": "ab"})
    await client.post("/generate", json={"input_ids": [1] * 500, "sampling_params": {"top_k": -1}})
    assert [request.sampling.max_new_tokens for request in service.requests] == [128, 12]
    assert service.requests[1].sampling.top_k is None
