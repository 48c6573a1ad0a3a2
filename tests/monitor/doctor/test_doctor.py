"""What the doctor finds at each engine, well and ill."""

import json
import ssl
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from monitor.cli import app
from monitor.doctor.advice import Finding, Level, findings
from monitor.doctor.command import trusting, visit_all
from monitor.doctor.facts import AbortEnd, Facts, Signal
from monitor.doctor.races import RACES, parse_version, races_of
from retry_proxy.config import EngineName
from tests.monitor.doctor.patient import Patient, served

SIGNALS = {
    "integrated": Signal.EXACT,
    "sglang": Signal.UPPER_BOUND,
    "vllm": Signal.UPPER_BOUND,
    "llamacpp": Signal.UPPER_BOUND,
    "openai": Signal.NONE,
}


async def visit(
    patient: Patient, *, key: str | None = None, may_generate: bool = True
) -> tuple[Facts, list[Finding]]:
    """One replica's."""
    async with served(patient) as address:
        ((facts, found),) = await visit_all(
            [address], EngineName.AUTO, key, None, 5.0, may_generate=may_generate
        )
    return facts, found


def troubles(found: list[Finding]) -> list[str]:
    """Topics that need attention."""
    return [one.topic for one in found if one.level is Level.TROUBLE]


@pytest.mark.parametrize("engine", SIGNALS)
async def test_each_engine_when_it_is_well(engine: str) -> None:
    patient = Patient(engine)
    facts, found = await visit(patient)
    assert facts.profile is not None
    assert facts.profile.name == ("sglang" if engine == "integrated" else engine)
    assert facts.sample is not None
    assert facts.sample.error is None
    assert facts.sample.signal is SIGNALS[engine]
    assert facts.sample.tokens > 10
    assert facts.abort is not None
    expected = AbortEnd.UNSEEN if engine == "openai" else AbortEnd.STOPPED
    assert facts.abort.end is expected
    assert troubles(found) == []
    assert [one["max_tokens"] for one in patient.generations] == [24, 1024]


async def test_without_requests_nothing_is_generated() -> None:
    patient = Patient("sglang")
    facts, found = await visit(patient, may_generate=False)
    assert patient.generations == []
    assert (facts.sample, facts.abort) == (None, None)
    assert {one.topic for one in found} == {"engine", "metrics", "race"}


@pytest.mark.parametrize(
    ("patient", "topic", "words"),
    [
        (Patient("sglang", has_metrics=False), "metrics", "--enable-metrics"),
        (Patient("llamacpp", has_metrics=False), "metrics", "--metrics"),
        (Patient("vllm", renames=True), "metrics", "waiting_requests"),
        (Patient("sglang", refuses_aborts=True), "abort", "403"),
        (Patient("sglang", version="0.5.10.post1"), "race", "pull/22811"),
        (
            Patient("sglang", version="0.5.20", info={"disaggregation_mode": "decode"}),
            "race",
            "DEFERRED_DECODE_KV_RELEASE",
        ),
    ],
)
async def test_what_needs_attention(patient: Patient, topic: str, words: str) -> None:
    _, found = await visit(patient)
    told = [one for one in found if one.level is Level.TROUBLE]
    assert {one.topic for one in told} == {topic}
    assert any(words in f"{one.text} {one.advice} {one.source}" for one in told)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
async def test_an_abort_that_does_nothing(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed or ordered, the generation goes on; nobody waits for ever to see it."""
    monkeypatch.setattr("monitor.doctor.visit._WAIT_SECONDS", 0.5)
    facts, found = await visit(Patient(engine, runs_on=True))
    assert facts.abort is not None
    assert facts.abort.end is AbortEnd.RAN_ON
    assert troubles(found) == ["abort"]


async def test_a_busy_replica_says_nothing_of_one_abort() -> None:
    facts, found = await visit(Patient("vllm", busy=3))
    assert facts.abort is not None
    assert facts.abort.end is AbortEnd.UNSEEN
    assert troubles(found) == []


async def test_a_key_is_asked_for_and_used() -> None:
    patient = Patient("sglang", key="k")
    _, without = await visit(patient)
    _, with_key = await visit(patient, key="k")
    assert troubles(without) == ["reach"]
    assert "401" in without[0].text
    assert troubles(with_key) == []


async def test_races_that_the_configuration_rules_out_are_left_out() -> None:
    """And those that it does not tell are told with a condition."""
    apart = {"disaggregation_mode": "null", "enable_hierarchical_cache": False}
    _, found = await visit(Patient("sglang", version="0.5.10", info=apart))
    assert troubles(found) == []
    _, found = await visit(Patient("vllm"))
    assert any("if it uses" in one.text for one in found)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.5.10.post1", (0, 5, 10)),
        ("v0.5.11rc1", (0, 5, 11)),
        ("0.32.0+cpu", (0, 32, 0)),
        ("dev", None),
        (None, None),
    ],
)
def test_versions(text: str | None, version: tuple[int, ...] | None) -> None:
    assert parse_version(text) == version


def test_the_table_of_races_is_sound() -> None:
    """Each has a source and a version that has it; fixes end where they should."""
    assert all(race.source.startswith("https://github.com/") for race in RACES)
    before = {race.source for race in races_of("sglang", (0, 5, 10))}
    after = {race.source for race in races_of("sglang", (0, 5, 11))}
    assert {one.rpartition("/")[2] for one in before - after} == {"22811"}
    assert all(race.is_rare for race in races_of("sglang", (0, 5, 23)))


def test_nobody_there() -> None:
    """A refused connection is told as one, in both forms."""
    refused = CliRunner().invoke(app, ["doctor", "http://127.0.0.1:9", "--json"])
    assert refused.exit_code == 1
    (row,) = json.loads(refused.stdout)["replicas"]
    assert row["needs_attention"]
    assert "cannot connect" in row["findings"][0]["text"].lower()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "http://", "http://[::1", "http://a:port"])
def test_what_is_no_address(address: str) -> None:
    """In words: some of them ended in a traceback."""
    done = CliRunner().invoke(app, ["doctor", address])
    assert done.exit_code == 2
    assert "not an address" in done.output


def test_certificates_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    command = ["doctor", "http://127.0.0.1:9", "--ca-file", str(tmp_path / "ca.pem")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "--ca-file" in done.output


async def test_certificates_are_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    async with served(Patient("vllm"), server) as address:
        ((_, distrusted),) = await visit_all(
            [address], EngineName.AUTO, None, None, 5.0, may_generate=False
        )
        ((facts, found),) = await visit_all(
            [address], EngineName.AUTO, None, trusting(trusted), 5.0, may_generate=False
        )
    assert troubles(distrusted) == ["reach"]
    assert "certificate" in distrusted[0].text.lower()
    assert facts.profile is not None
    assert troubles(found) == []


def test_findings_of_nothing_at_all() -> None:
    assert troubles(findings(Facts("http://a"))) == ["reach"]
