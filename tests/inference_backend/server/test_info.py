"""What the server says about itself, the abort, and the drills' key."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from inference_backend.engine.faults import FaultKind, FaultPlan, FaultRecord
from inference_backend.engine.request import FinishReason
from inference_backend.engine.snapshot import RankNumbers
from inference_backend.hicache.numbers import HostNumbers
from tests.fakes.generation import EMPTY_SNAPSHOT, ScriptedService
from tests.inference_backend.server.conftest import Served

Serve = Callable[..., Served]
KEY = {"authorization": "Bearer secret"}


async def test_models_names_the_model_and_its_context(serve: Serve) -> None:
    body = (await serve(ScriptedService()).client.get("/v1/models")).json()
    assert body["data"][0]["id"] == "tiny"
    assert body["data"][0]["max_model_len"] == 512


@pytest.mark.parametrize(("is_alive", "status"), [(True, 200), (False, 503)])
@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_health_follows_the_engines_loop(
    serve: Serve, path: str, is_alive: bool, status: int
) -> None:
    service = ScriptedService(numbers=replace(EMPTY_SNAPSHOT, is_alive=is_alive))
    assert (await serve(service).client.get(path)).status_code == status


@pytest.mark.parametrize(("is_alive", "status"), [(True, 200), (False, 503)])
async def test_health_tells_how_many_ranks_are_left(
    serve: Serve, is_alive: bool, status: int
) -> None:
    numbers = replace(EMPTY_SNAPSHOT, is_alive=is_alive, ranks=RankNumbers(left=2, started=3))
    answer = await serve(ScriptedService(numbers=numbers)).client.get("/health")
    assert (answer.status_code, answer.json()) == (status, {"ranks": 2, "ranks_started": 3})


async def test_server_info_tells_the_draft_width(serve: Serve) -> None:
    body = (await serve(ScriptedService(), "secret").client.get("/server_info")).json()
    assert body["engine"] == "specwatch"
    assert (body["speculative_num_steps"], body["speculative_num_draft_tokens"]) == (3, 4)
    assert "secret" not in str(body)


async def test_metrics_are_read_from_the_snapshot(serve: Serve) -> None:
    numbers = replace(
        EMPTY_SNAPSHOT,
        running=2,
        waiting=1,
        generation_tokens_total=90,
        verify_steps_total=40,
        proposed_drafts_total=120,
        correct_drafts_total=48,
        preemptions_total=3,
    )
    text = (await serve(ScriptedService(numbers=numbers)).client.get("/metrics")).text
    lines = set(text.splitlines())
    assert {
        'sglang:num_running_reqs{model_name="tiny"} 2.0',
        'sglang:num_queue_reqs{model_name="tiny"} 1.0',
        'sglang:token_usage{model_name="tiny"} 0.2',
        'sglang:spec_accept_length{model_name="tiny"} 2.2',
        'sglang:spec_accept_rate{model_name="tiny"} 0.4',
        'sglang:generation_tokens_total{model_name="tiny"} 90.0',
        'sglang:spec_verify_calls_total{model_name="tiny"} 40.0',
        'sglang:num_retracted_requests_total{model_name="tiny"} 3.0',
        'specwatch_engine_free_pages{model_name="tiny"} 70.0',
    } <= {round_sample(line) for line in lines}


async def test_the_host_tier_has_metrics_only_where_there_is_one(serve: Serve) -> None:
    """No sample is not the same as zero."""
    host = HostNumbers(
        pages_total=100, pages_used=40, stored_total=70, loaded_total=30, failed_loads_total=1
    )
    without = await serve(ScriptedService()).client.get("/metrics")
    assert "specwatch_engine_host" not in without.text
    service = ScriptedService(numbers=replace(EMPTY_SNAPSHOT, host=host))
    lines = set((await serve(service).client.get("/metrics")).text.splitlines())
    assert {
        'specwatch_engine_host_pages{model_name="tiny"} 100.0',
        'specwatch_engine_host_used_pages{model_name="tiny"} 40.0',
        'specwatch_engine_host_stored_pages_total{model_name="tiny"} 70.0',
        'specwatch_engine_host_loaded_pages_total{model_name="tiny"} 30.0',
        'specwatch_engine_host_failed_loads_total{model_name="tiny"} 1.0',
    } <= lines


def round_sample(line: str) -> str:
    name, _, value = line.rpartition(" ")
    return line if line.startswith("#") else f"{name} {round(float(value), 6)}"


@pytest.mark.parametrize(
    ("body", "aborted"),
    [
        ({"rid": "abc"}, ["abc"]),
        ({"rid": "", "abort_all": True}, ["*"]),
        ({"rid": ""}, []),
        ({}, []),
    ],
)
async def test_abort_is_by_prefix_and_an_empty_id_aborts_nothing(
    serve: Serve, body: dict[str, object], aborted: list[str]
) -> None:
    service = ScriptedService()
    response = await serve(service).client.post("/abort_request", json=body)
    assert (response.status_code, service.aborted) == (200, aborted)


async def test_drills_need_a_server_with_a_key(serve: Serve) -> None:
    client = serve(ScriptedService()).client
    assert (await client.get("/faults", headers=KEY)).status_code == 403
    assert (await client.post("/faults", json={"kind": None}, headers=KEY)).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "ü"}])
async def test_drills_need_the_right_key(serve: Serve, headers: dict[str, str]) -> None:
    service = ScriptedService()
    client = serve(service, "secret").client
    raw = {name: value.encode() for name, value in headers.items()}
    response = await client.post("/faults", json={"kind": "noise"}, headers=list(raw.items()))  # type: ignore[arg-type]
    assert (response.status_code, service.plan) == (401, None)


async def test_drill_is_switched_on_and_off(serve: Serve) -> None:
    service = ScriptedService()
    client = serve(service, "secret").client
    body = {"kind": "zero_layers", "rate": 0.25, "layer_share": 0.75, "seed": 1}
    assert (await client.post("/faults", json=body, headers=KEY)).status_code == 200
    assert service.plan == FaultPlan(
        kind=FaultKind.ZERO_LAYERS, rate=0.25, layer_share=0.75, seed=1
    )
    assert (await client.get("/faults", headers=KEY)).json()["plan"]["kind"] == "zero_layers"
    await client.post("/faults", json={"kind": None}, headers=KEY)
    assert (await client.get("/faults", headers=KEY)).json() == {"plan": None, "records": []}


async def test_records_tell_which_generations_were_damaged(serve: Serve) -> None:
    record = FaultRecord("r1", FaultKind.NOISE, 16, 40, FinishReason.STOP)
    client = serve(ScriptedService(records=[record]), "secret").client
    assert (await client.get("/faults", headers=KEY)).json()["records"] == [
        {
            "rid": "r1",
            "kind": "noise",
            "damaged_from_token": 16,
            "completion_tokens": 40,
            "finish_reason": "stop",
        }
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "rust"},
        {"kind": "noise", "rate": 1.5},
        {"kind": "noise", "after_tokens": -1},
        {"kind": "noise", "typo": 1},
    ],
)
async def test_bad_plan_is_400(serve: Serve, body: dict[str, object]) -> None:
    service = ScriptedService()
    response = await serve(service, "secret").client.post("/faults", json=body, headers=KEY)
    assert (response.status_code, service.plan) == (400, None)
