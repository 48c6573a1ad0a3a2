"""The sanitizer's findings over HTTP: in ``meta_info`` when asked for, on a route with the key."""

from collections.abc import Callable

from inference_backend.kv.labels import Corruption, KvLabels, Writer
from inference_backend.kv.sanitizer import SanitizerRecord
from tests.fakes.byte_tokenizer import ids_of
from tests.fakes.generation import ScriptedService
from tests.inference_backend.server.conftest import Served

LABELS = KvLabels({Corruption.FOREIGN: 2, Corruption.DERIVED: 1}, 3, [Writer("r9", "transfer")])
FIELDS = {
    "foreign": 2,
    "stale": 0,
    "unready": 0,
    "derived": 1,
    "first_token": 3,
    "writers": [{"rid": "r9", "by": "transfer"}],
}


async def test_meta_info_has_them_only_on_request(serve: Callable[..., Served]) -> None:
    nothing = {**FIELDS, "foreign": 0, "derived": 0, "first_token": None, "writers": []}
    for labels, wanted in ((LABELS, FIELDS), (None, nothing)):
        service = ScriptedService(steps=[ids_of("a")], labels=labels)
        served = serve(service)
        body: dict[str, object] = {"text": "x", "sampling_params": {"max_new_tokens": 1}}
        plain = await served.events("/generate", body)
        asked = await served.events("/generate", body | {"return_kv_sanitizer": True})
        assert "kv_sanitizer" not in str(plain)
        found = asked[-1]["meta_info"]["kv_sanitizer"]  # type: ignore[index]
        assert found == wanted


async def test_the_records_need_the_admin_key(serve: Callable[..., Served]) -> None:
    service = ScriptedService(corrupted=[SanitizerRecord("r1", LABELS, 8, "length")])
    served = serve(service, "secret")
    assert (await served.client.get("/kv_sanitizer")).status_code == 401
    key = {"authorization": "Bearer secret"}
    answer = await served.client.get("/kv_sanitizer", headers=key)
    wanted = {"rid": "r1", "completion_tokens": 8, "finish_reason": "length", **FIELDS}
    assert answer.json() == {"records": [wanted]}


async def test_bootstrap_fields_out_of_range_are_refused(serve: Callable[..., Served]) -> None:
    served = serve(ScriptedService(steps=[ids_of("a")]))
    for field, value in (("bootstrap_room", -1), ("bootstrap_port", 0)):
        fields = {"bootstrap_host": "h", "bootstrap_port": 1, "bootstrap_room": 1} | {field: value}
        answer = await served.client.post("/generate", json={"text": "x", **fields})
        assert answer.status_code == 400
        assert field in answer.json()["error"]["message"]
