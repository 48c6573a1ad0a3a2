"""Adapters: what they ask an engine for, how they continue and stop, how a replica is known."""

from typing import Any

import pytest

from retry_proxy.engines.adapter import AttemptPlan, EngineProfile, Prefix
from retry_proxy.engines.call import Route
from retry_proxy.engines.detect import build_adapter, describe
from retry_proxy.errors import InvalidBody
from tests.fakes.calls import INTEGRATED, STOCK, call_for

PLAN = AttemptPlan("r" * 34)


def test_sglang_asks_for_live_signals_and_keeps_the_clients_fields() -> None:
    call = call_for(Route.CHAT, temperature=0.5, stream_options={"include_usage": False})
    body = build_adapter(INTEGRATED).body(call, PLAN)
    assert body["temperature"] == 0.5
    assert body["rid"] == PLAN.rid
    assert body["return_spec_tokens_details"] is True
    assert body["return_token_ids"] is True
    assert body["stream_options"]["include_usage"] is True
    assert "return_token_ids" not in build_adapter(STOCK).body(call, PLAN)
    assert call.body["stream_options"] == {"include_usage": False}, (
        "the client's body is not changed"
    )


def test_the_native_route_gets_nothing_but_an_id_and_streaming() -> None:
    call = call_for(Route.GENERATE, stream=False)
    body = build_adapter(INTEGRATED).body(call, PLAN)
    assert body == {"text": "Hi", "stream": True, "rid": PLAN.rid}


def test_a_salt_is_put_after_the_clients() -> None:
    plan = AttemptPlan(PLAN.rid, cache_salt="new")
    body = build_adapter(INTEGRATED).body(call_for(Route.CHAT, cache_salt="tenant-"), plan)
    assert body["cache_salt"] == "tenant-new"
    assert (
        build_adapter(EngineProfile("llamacpp")).body(call_for(Route.CHAT), plan)["cache_prompt"]
        is False
    )


def test_continuations_use_token_ids_where_they_are_known() -> None:
    prefix = Prefix(" w0 w1", 2, (5, 6), (1, 2, 3))
    plan = AttemptPlan(PLAN.rid, prefix)
    adapter = build_adapter(INTEGRATED)
    native_call = call_for(Route.GENERATE, input_ids=[9], sampling_params={"max_new_tokens": 10})
    generate = adapter.body(native_call, plan)
    assert (generate["input_ids"], generate["sampling_params"]) == (
        [9, 5, 6],
        {"max_new_tokens": 8},
    )
    completions = adapter.body(call_for(Route.COMPLETIONS, max_tokens=10), plan)
    assert (completions["prompt"], completions["max_tokens"]) == ([1, 2, 3, 5, 6], 8)
    text_only = AttemptPlan(PLAN.rid, Prefix(" w0 w1", 2))
    assert adapter.body(call_for(Route.COMPLETIONS), text_only)["prompt"] == "Hi w0 w1"
    assert adapter.body(call_for(Route.COMPLETIONS), text_only)["max_tokens"] == 14  # of 16
    assert not adapter.can_continue(native_call, Prefix(" w0", 1))


def test_chat_continues_the_final_message() -> None:
    plan = AttemptPlan(PLAN.rid, Prefix(" more", 1))
    given = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well"}]
    call = call_for(Route.CHAT, messages=given, continue_final_message=True)
    for name in ("sglang", "vllm", "llamacpp"):
        adapter = build_adapter(EngineProfile(name))
        assert adapter.body(call, plan)["messages"][-1]["content"] == "Well more"
        fresh = adapter.body(call_for(Route.CHAT), plan)
        assert fresh["messages"][-1] == {"role": "assistant", "content": " more"}
        assert fresh["continue_final_message"] is True
        assert fresh.get("add_generation_prompt", True) is (name == "sglang")
    assert not build_adapter(EngineProfile("openai")).can_continue(call, Prefix(" more", 1))


def test_the_integrated_engine_continues_a_chat_from_token_ids() -> None:
    """Nothing is rendered or tokenised twice; stock SGLang does not tell the prompt's ids."""
    plan = AttemptPlan(PLAN.rid, Prefix(" w0 w1", 2, (5, 6), (1, 2, 3)))
    call = call_for(Route.CHAT, max_tokens=10)
    body = build_adapter(INTEGRATED).body(call, plan)
    assert (body["input_ids"], body["max_tokens"]) == ([1, 2, 3, 5, 6], 8)
    assert body["messages"] == call.body["messages"]
    assert "continue_final_message" not in body
    assert "input_ids" not in build_adapter(STOCK).body(call, plan)


def test_only_sglang_has_an_abort_call() -> None:
    call = call_for(Route.CHAT)
    abort = build_adapter(STOCK).abort(call, "abc")
    assert abort is not None
    assert (abort.path, abort.body) == ("/abort_request", {"rid": "abc", "abort_all": False})
    assert build_adapter(EngineProfile("vllm")).abort(call, "abc") is None


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"tools": [{}], "tool_choice": "required"},
        {"tools": [{}], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"functions": [{}]},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"guided_json": {}, "regex": "a"},
        {"best_of": 3},
    ],
)
def test_requests_that_are_not_continued(more: dict[str, Any]) -> None:
    assert not call_for(Route.CHAT, **more).is_continuable


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"tools": []},
        {"tools": [{}]},
        {"tools": [{}], "tool_choice": "auto"},
        {"tools": [{}], "tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"logprobs": None},
        {"n": 1},
    ],
)
def test_requests_that_are(more: dict[str, Any]) -> None:
    assert call_for(Route.CHAT, **more).is_continuable


@pytest.mark.parametrize(
    ("more", "temperature"),
    [
        ({}, None),
        ({"temperature": 0}, 0.0),
        ({"temperature": 0.7}, 0.7),
        ({"temperature": 1.0, "top_k": 1}, 0.0),
        ({"temperature": "hot"}, None),
        ({"temperature": True}, None),
    ],
)
def test_the_temperature_that_a_request_names(
    more: dict[str, Any], temperature: float | None
) -> None:
    assert call_for(Route.CHAT, **more).temperature == temperature
    assert call_for(Route.GENERATE, sampling_params=more).temperature == temperature


@pytest.mark.parametrize("more", [{"stream": 1}, {"n": "two"}, {"stream_options": []}, {"n": True}])
def test_wrong_types_that_the_proxy_reads_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidBody):
        call_for(Route.CHAT, **more)


def test_detection_by_what_a_replica_answers() -> None:
    models = {"data": [{"id": "m"}]}
    integrated: dict[str, Any] = {"engine": "specwatch", "version": "0.1"}
    integrated |= {"speculative_num_draft_tokens": 4, "speculative_num_steps": 3}
    profile = describe({"/server_info": integrated, "/v1/models": models}, "auto")
    assert profile == EngineProfile("sglang", "0.1", True, True, 3, ("m",))
    off = describe({"/server_info": {"version": "0.5.23", "speculative_algorithm": None}}, "auto")
    assert (off.name, off.is_speculating, off.draft_tokens) == ("sglang", False, None)
    vllm = describe({"/version": {"version": "0.32.0"}, "/metrics": "# no speculation"}, "auto")
    assert (vllm.name, vllm.is_speculating) == ("vllm", False)
    counting = {"/version": {"version": "1"}, "/metrics": "vllm:spec_decode_num_drafts_total 0"}
    assert describe(counting, "auto").is_speculating
    assert describe({"/props": {"build_info": "b1"}}, "auto").name == "llamacpp"
    assert describe({"/v1/models": models}, "auto") == EngineProfile("openai", models=("m",))
    assert describe({}, "vllm").name == "vllm"


@pytest.mark.parametrize(
    "unfit",
    [{"speculative_eagle_topk": 4}, {"speculative_adaptive": True}],
    ids=["tree", "adaptive"],
)
def test_no_rate_is_derived_where_the_width_is_not_fixed(unfit: dict[str, Any]) -> None:
    info = {"speculative_algorithm": "EAGLE", "speculative_num_steps": 3, **unfit}
    profile = describe({"/server_info": info}, "auto")
    assert profile.is_speculating
    assert profile.draft_tokens is None


def test_disaggregation_fields_are_kept_and_a_retry_meets_in_a_new_room() -> None:
    """The prefill side has given the old room's pages away; two rooms in a batch stay two."""
    fields = {"bootstrap_host": "10.0.0.1", "bootstrap_port": 8998, "bootstrap_room": 7}
    adapter = build_adapter(STOCK)
    for route in (Route.GENERATE, Route.CHAT, Route.COMPLETIONS):
        call = call_for(route, **fields)
        first = adapter.body(call, PLAN)
        assert {name: first[name] for name in fields} == fields
        again = adapter.body(call, AttemptPlan("s" * 34, number=2))
        assert (again["bootstrap_host"], again["bootstrap_port"]) == ("10.0.0.1", 8998)
        assert again["bootstrap_room"] != 7
        assert 0 <= again["bootstrap_room"] < 2**63
    batch = call_for(Route.COMPLETIONS, prompt=["a", "b"], bootstrap_room=[1, 2])
    rooms = adapter.body(batch, AttemptPlan("s" * 34, number=2))["bootstrap_room"]
    assert len(set(rooms) - {1, 2}) == 2
    assert adapter.body(call_for(Route.CHAT, bootstrap_room=None), PLAN)["bootstrap_room"] is None


@pytest.mark.parametrize("route", [Route.GENERATE, Route.CHAT, Route.COMPLETIONS])
def test_every_route_of_sglang_takes_a_new_cache_salt(route: Route) -> None:
    plan = AttemptPlan(PLAN.rid, cache_salt="new")
    assert build_adapter(STOCK).body(call_for(route), plan)["cache_salt"] == "new"


@pytest.mark.parametrize("name", ["sglang", "vllm", "llamacpp", "openai"])
def test_the_typed_routes_get_only_fields_of_their_api(name: str) -> None:
    for route in (Route.MESSAGES, Route.RESPONSES):
        call = call_for(route, stream=False)
        plan = AttemptPlan(PLAN.rid, cache_salt="new", number=2)
        assert build_adapter(EngineProfile(name)).body(call, plan) == {**call.body, "stream": True}


def test_only_llamacpp_goes_on_from_a_last_message_of_the_assistant() -> None:
    call = call_for(Route.MESSAGES, tools=[{"name": "f"}])
    prefix = Prefix("The river rises in", 4)
    able = [
        name
        for name in ("sglang", "vllm", "llamacpp", "openai")
        if build_adapter(EngineProfile(name)).can_continue(call, prefix)
    ]
    assert able == ["llamacpp"]
    adapter = build_adapter(EngineProfile("llamacpp"))
    body = adapter.body(call, AttemptPlan(PLAN.rid, prefix))
    assert body["messages"][-1] == {"role": "assistant", "content": "The river rises in"}
    assert body["max_tokens"] == 96
    assert not adapter.can_continue(call, Prefix("The", 1)), "an echo could not be told"
    more: list[dict[str, Any]] = [
        {"thinking": {"type": "enabled", "budget_tokens": 9}},
        {"tools": [{}], "tool_choice": {"type": "any"}},
        {"tools": [{}], "tool_choice": {"type": "tool", "name": "f"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        {"messages": [{"role": "assistant", "content": "Well"}]},
    ]
    for each in more:
        assert not adapter.can_continue(call_for(Route.MESSAGES, **each), prefix), each


def test_an_echo_of_the_prefix_is_taken_off_once() -> None:
    prefix = Prefix("The river rises in", 4)
    adapter = build_adapter(EngineProfile("llamacpp"))

    def read(*texts: str) -> list[str]:
        reader = adapter.reader(call_for(Route.MESSAGES), prefix)
        return [
            reader.read(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": text},
                },
                b"",
            ).text
            for text in texts
        ]

    assert read("The river rises in the", " hills") == [" the", " hills"]
    assert read(" the", "The river rises in") == [" the", "The river rises in"]
