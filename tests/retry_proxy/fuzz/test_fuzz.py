"""A few hundred made-up requests to every route; `make fuzz` sends 20,000."""

import pytest

from tests.retry_proxy.fuzz.driver import fuzz, judge
from tests.retry_proxy.fuzz.schema import BODIES
from tests.retry_proxy.fuzz.serving import everything

CASES = 200


def test_no_request_is_answered_with_a_crash() -> None:
    with everything() as served:
        outcome = fuzz(served.address, served.schema, cases=CASES, seed=1)
    assert outcome.failures == {}
    assert outcome.cases >= CASES
    statuses = {status for _, status in outcome.answers}
    assert {200, 400, 422} <= statuses, "right and wrong requests were sent"
    reached = {label.split(" ")[1] for label, _ in outcome.answers}
    assert reached >= {*BODIES, "/health", "/api/incidents", "/api/replicas/drain"}
    for path in BODIES:
        assert outcome.answers[f"POST {path}", 200] > 0, path
        assert served.reached[path] >= outcome.answers[f"POST {path}", 200], path
    assert not statuses & {502, 503}, "every replica was there for every request"


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (500, "application/json", b'{"error": {}}'),
        (200, "application/json", b"{"),
        (400, "application/json", b"{}"),
        (404, "text/html", b""),
        (200, "text/event-stream", b"data: x"),
    ],
)
def test_the_judge_finds_fault(status: int, kind: str, body: bytes) -> None:
    assert judge(status, kind, body) is not None
