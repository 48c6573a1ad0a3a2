"""Sends what schemathesis makes up from a schema, right and wrong, and judges every answer."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from retry_proxy.stream.sse import SseParser

TIMEOUT_SECONDS = 60.0
MAX_EVENT_BYTES = 4 * 1024 * 1024
_UPSTREAM = {502, 503}  # typed errors of ours about the replicas


@dataclass
class Outcome:
    """What came back so far.

    Attributes:
        answers: by operation and status.
        failures: what was wrong, by operation; the first of each kind.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return self.answers.total()


def fuzz(address: str, schema: dict[str, Any], *, cases: int, seed: int) -> Outcome:
    """Sends at least so many requests, the same for the same seed.

    Operations of few forms (``/health``) run out of new ones; the others make up for them.
    """
    outcome = Outcome()
    with requests.Session() as session:
        _fuzz(address, schema, cases, seed, session, outcome)
    return outcome


def _fuzz(
    address: str,
    schema: dict[str, Any],
    cases: int,
    seed: int,
    session: requests.Session,
    outcome: Outcome,
) -> None:
    before = -1
    found = schemathesis.openapi.from_dict(schema).get_all_operations()
    operations = [result.ok() for result in found if isinstance(result, Ok)]
    share = max(2, cases // (2 * len(operations)))
    while outcome.cases < cases and outcome.cases > before:
        before = outcome.cases
        for operation in operations:
            for mode in GenerationMode:
                if outcome.cases >= cases:
                    break
                strategy = operation.as_strategy(generation_mode=mode)
                send = _sender(address, session, outcome)
                _run(strategy, send, min(share, cases - outcome.cases), seed)
        seed += 1


def _run(strategy: Any, send: Callable[[Any], None], examples: int, seed: int) -> None:
    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(case: Any) -> None:
        send(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of schemathesis about its own strategies
        with contextlib.suppress(Unsatisfiable):  # there is no wrong form of GET /health
            each()


def _sender(address: str, session: requests.Session, outcome: Outcome) -> Callable[[Any], None]:
    def send(case: Any) -> None:
        label = case.operation.label
        try:
            parts = case.as_transport_kwargs(base_url=address)
            answer = session.request(**parts, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
            return  # the client library does not send such a request
        outcome.answers[label, answer.status_code] += 1
        problem = judge(answer.status_code, answer.headers.get("content-type", ""), answer.content)
        if problem is not None:
            outcome.failures.setdefault(f"{label}: {problem}", case.as_curl_command()[:2000])

    return send


def judge(status: int, content_type: str, body: bytes) -> str | None:
    """What is wrong with an answer, ``None`` if nothing is."""
    if status >= 500 and status not in _UPSTREAM and status != 505:
        return f"status {status}"
    if content_type.startswith("text/event-stream"):
        parser = SseParser(MAX_EVENT_BYTES)
        parser.feed(body)
        return "an event without an end" if parser.has_rest else None
    if content_type.startswith("application/json"):
        try:
            told = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return "no JSON"
        is_error = isinstance(told, dict) and bool({"error", "detail", "ready"} & told.keys())
        return f"status {status} without an error" if status >= 400 and not is_error else None
    if status >= 400 and status not in {400, 408, 414, 431, 505}:
        return f"status {status} with {content_type or 'no type'}"  # the edge's are plain text
    return None
