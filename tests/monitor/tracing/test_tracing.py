"""Spans that a collector gets over HTTP, and what it is worth to a request when there is none."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import StatusCode

from monitor.demo.process import Stack
from monitor.errors import InvalidOptions
from monitor.tracing.exporter import Tracer, build_tracer, is_wanted
from monitor.tracing.spans import SpanWriter
from retry_proxy.events import AttemptEnded, AttemptOutcome
from retry_proxy.trace_context import TraceContext
from tests.fakes.collector import FakeCollector, values
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, request_body
from tests.fakes.script import Fault, Script
from tests.fakes.sink import RecordingSink
from tests.monitor.events import attempt_ended, request_ended, stopped
from tests.monitor.test_serve import proxy, start

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ROOT = TraceContext(TRACE, SPAN, None, 1)


class Ended(SpanProcessor):
    """Keeps what ends."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)

    def shutdown(self) -> None:
        """Nothing waits."""


def tracer_for(ended: Ended, ahead: RecordingSink | None = None) -> Tracer:
    """One whose spans the test sees."""
    return Tracer(ahead or RecordingSink(), SpanWriter(ended))


async def test_a_request_and_its_attempts_as_one_trace(tmp_path: Path) -> None:
    """Through the real process: continued from the client, the finding as an event."""
    async with (
        FakeCollector() as collector,
        FakeEngine(300) as sick,
        FakeEngine(300) as well,
        Stack() as stack,
        aiohttp.ClientSession() as session,
    ):
        sick.default = Script(Fault.LOW_ACCEPTANCE, after=10)
        flags = ["--panel", "published", "--otlp-endpoint", collector.address]
        front, serving = proxy(tmp_path, [sick.address, well.address], *flags)
        await start(stack, session, serving)
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        async with session.post(front + CHAT, json=request_body(CHAT), headers=headers) as answer:
            request_id = answer.headers["x-specwatch-request-id"]
            await answer.read()
        accept = {"accept": "application/openmetrics-text"}
        async with session.get(f"{front}/metrics", headers=accept) as page:
            metrics = await page.text()
        await stack.end_all()  # what waits is sent at the end
        await collector.wait_for(3)
    spans = {span.name: span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER}
    request = spans["POST /v1/chat/completions"]
    attempts = [span for span in collector.spans if span.kind == Span.SPAN_KIND_CLIENT]
    first, second = sorted(attempts, key=lambda span: span.start_time_unix_nano)
    assert collector.service == "specwatch"
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert request.parent_span_id.hex() == SPAN
    assert {first.parent_span_id, second.parent_span_id} == {request.span_id}
    heard = [engine.generations[0].headers["traceparent"] for engine in (sick, well)]
    assert [one.split("-")[2] for one in heard] == [first.span_id.hex(), second.span_id.hex()]
    assert first.name == "chat fake-model"
    assert values(request.attributes)["specwatch.request.id"] == request_id
    assert values(request.attributes)["specwatch.request.outcome"] == "retried_clean"
    told = values(first.attributes)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "sglang"
    assert told["gen_ai.request.model"] == "fake-model"
    assert told["server.port"] == int(sick.address.rpartition(":")[2])
    assert told["error.type"] == "garbled"
    assert first.status.code == Status.STATUS_CODE_ERROR
    assert second.status.code == request.status.code == Status.STATUS_CODE_UNSET
    assert not second.events
    (finding,) = first.events
    assert finding.name == "gen_ai.evaluation.result"
    verdict = values(finding.attributes)
    assert verdict["gen_ai.evaluation.score.label"] == "garbled"
    assert 1 <= float(str(verdict["gen_ai.evaluation.score.value"])) < 1.4
    assert str(verdict["gen_ai.evaluation.name"]).startswith("specwatch.")
    assert verdict["gen_ai.response.id"] == f"{request_id}01"
    assert f'# {{trace_id="{TRACE}"}}' in metrics  # exemplars lead to the same trace


@pytest.mark.parametrize("collector_is", ["away", "hanging"])
async def test_a_collector_that_fails_harms_no_request(tmp_path: Path, collector_is: str) -> None:
    """Nor the end of the process."""
    async with (
        FakeCollector(hangs=True) as collector,
        FakeEngine(20) as engine,
        Stack(end_seconds=20) as stack,
        aiohttp.ClientSession() as session,
    ):
        endpoint = collector.address if collector_is == "hanging" else "http://127.0.0.1:9"
        front, serving = proxy(tmp_path, [engine.address], "--otlp-endpoint", endpoint)
        await start(stack, session, serving)
        for _ in range(300):  # 600 spans are more than a batch
            async with session.post(front + CHAT, json=request_body(CHAT)) as answer:
                assert answer.status == 200
                assert (await answer.text()).rstrip().endswith("[DONE]")
        if collector_is == "hanging":
            await collector.wait_for_call()
        child = stack.child("proxy")
        child.terminate()
        async with asyncio.timeout(20):
            assert await child.wait() == 0


def test_spans_that_are_not_kept_are_not_written() -> None:
    ended = Ended()
    tracer = tracer_for(ended)
    unsampled = TraceContext(TRACE, SPAN, None, 0)
    tracer.emit(attempt_ended())
    tracer.emit(attempt_ended(trace=unsampled))
    tracer.emit(request_ended(trace=unsampled))
    assert ended.spans == []
    tracer.emit(request_ended(trace=ROOT))
    assert [span.name for span in ended.spans] == ["POST /v1/chat/completions"]


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (attempt_ended(trace=ROOT), None),
        (attempt_ended(trace=ROOT, outcome=AttemptOutcome.MARKED), None),
        (attempt_ended(trace=ROOT, outcome=AttemptOutcome.CLIENT_GONE), None),
        (stopped(trace=ROOT), "garbled"),
        (
            attempt_ended(
                trace=ROOT, outcome=AttemptOutcome.UPSTREAM_ERROR, error="stream_cut: at once"
            ),
            "stream_cut",
        ),
        (attempt_ended(trace=ROOT, outcome=AttemptOutcome.REJECTED), "rejected"),
    ],
)
def test_what_counts_as_an_error(event: AttemptEnded, error: str | None) -> None:
    ended = Ended()
    tracer_for(ended).emit(event)
    (span,) = ended.spans
    assert (span.attributes or {}).get("error.type") == error
    assert (span.status.status_code is StatusCode.ERROR) == (error is not None)


def test_a_writer_that_fails_loses_a_span_and_no_event(caplog: pytest.LogCaptureFixture) -> None:
    sink = RecordingSink()
    tracer = tracer_for(Ended(), sink)
    for number in range(3):
        tracer.emit(attempt_ended(number, trace=TraceContext("no id", SPAN, "neither", 1)))
    assert len(sink.events) == 3
    assert caplog.text.count("a span was lost") == 1


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
    ],
)
def test_the_environment_has_a_say(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(None, environment) == wanted
    assert is_wanted("http://given:4318", environment)


def test_the_extra_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that cannot be followed is an error; a variable set for everybody is none."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InvalidOptions, match=r"specwatch\[otel\]"):
        build_tracer("http://c:4318", {}, RecordingSink())
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    assert build_tracer(None, environment, RecordingSink()) is None
