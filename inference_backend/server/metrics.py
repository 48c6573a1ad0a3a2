"""Prometheus metrics: numbers of the engine, read at scrape. Nothing is counted here."""

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference_backend.engine.snapshot import EngineSnapshot
from inference_backend.hicache.numbers import HostNumbers

Numbers = TypeVar("Numbers")


class Entry(NamedTuple, Generic[Numbers]):
    """One metric. Counters are named without ``_total``, which the exposition adds."""

    name: str
    is_counter: bool
    help: str
    read: Callable[[Numbers], float]


def token_usage(snapshot: EngineSnapshot) -> float:
    """Share of the KV pages that running requests hold; cached pages count as free."""
    usable = snapshot.pages_total - snapshot.pages_retired
    if usable == 0:
        return 0.0
    return 1.0 - (snapshot.pages_free + snapshot.pages_cached) / usable


def accept_length(snapshot: EngineSnapshot) -> float:
    """Tokens out per verification step, bonus token included."""
    if snapshot.verify_steps_total == 0:
        return 0.0
    return 1.0 + snapshot.correct_drafts_total / snapshot.verify_steps_total


def accept_rate(snapshot: EngineSnapshot) -> float:
    if snapshot.proposed_drafts_total == 0:
        return 0.0
    return snapshot.correct_drafts_total / snapshot.proposed_drafts_total


SINCE_START = (
    "since the start (SGLang: over its last log interval); for a window use rate() of the counters"
)

CATALOG: tuple[Entry[EngineSnapshot], ...] = (
    Entry(
        "sglang:num_running_reqs",
        False,
        "Requests that hold KV pages and are being computed.",
        lambda s: s.running,
    ),
    Entry("sglang:num_queue_reqs", False, "Requests that wait for KV pages.", lambda s: s.waiting),
    Entry(
        "sglang:token_usage", False, "Share of the KV pages held by running requests.", token_usage
    ),
    Entry(
        "sglang:spec_accept_length",
        False,
        f"Tokens per verification step, {SINCE_START}.",
        accept_length,
    ),
    Entry(
        "sglang:spec_accept_rate",
        False,
        f"Accepted share of the drafts, {SINCE_START}.",
        accept_rate,
    ),
    Entry("sglang:spec_num_steps", False, "Drafts proposed a step.", lambda s: s.num_drafts),
    Entry(
        "sglang:spec_num_draft_tokens",
        False,
        "Drafts a step and the bonus token.",
        lambda s: s.num_drafts + 1,
    ),
    Entry(
        "sglang:prompt_tokens",
        True,
        "Prompt tokens of admitted requests.",
        lambda s: s.prompt_tokens_total,
    ),
    Entry(
        "sglang:cached_tokens",
        True,
        "Prompt tokens found in the cache.",
        lambda s: s.cached_tokens_total,
    ),
    Entry(
        "sglang:generation_tokens", True, "Tokens generated.", lambda s: s.generation_tokens_total
    ),
    Entry(
        "sglang:spec_verify_calls",
        True,
        "Verification steps, summed over requests.",
        lambda s: s.verify_steps_total,
    ),
    Entry(
        "sglang:num_aborted_requests",
        True,
        "Generations closed early, also by stop strings.",
        lambda s: s.aborted_total,
    ),
    Entry(
        "sglang:num_retracted_requests",
        True,
        "Preemptions for lack of pages.",
        lambda s: s.preemptions_total,
    ),
    Entry(
        "specwatch_engine_proposed_drafts",
        True,
        "Draft tokens proposed.",
        lambda s: s.proposed_drafts_total,
    ),
    Entry(
        "specwatch_engine_correct_drafts",
        True,
        "Draft tokens accepted.",
        lambda s: s.correct_drafts_total,
    ),
    Entry(
        "specwatch_engine_finished_requests",
        True,
        "Generations that ended, aborted ones too.",
        lambda s: s.finished_total,
    ),
    Entry("specwatch_engine_pages", False, "KV pages in all.", lambda s: s.pages_total),
    Entry(
        "specwatch_engine_free_pages", False, "KV pages that hold nothing.", lambda s: s.pages_free
    ),
    Entry(
        "specwatch_engine_cached_pages",
        False,
        "Unused KV pages kept for prefixes.",
        lambda s: s.pages_cached,
    ),
    Entry(
        "specwatch_engine_retired_pages",
        False,
        "KV pages out of use for good: a prefill that died may have been writing to them.",
        lambda s: s.pages_retired,
    ),
    Entry(
        "specwatch_engine_corrupted_requests",
        True,
        "Generations with tokens computed from wrong KV cache (KV sanitizer).",
        lambda s: s.corrupted_generations_total,
    ),
    Entry(
        "specwatch_engine_alive",
        False,
        "1 while the engine's loop runs.",
        lambda s: float(s.is_alive),
    ),
)


HOST_CATALOG: tuple[Entry[HostNumbers], ...] = (
    Entry(
        "specwatch_engine_host_pages",
        False,
        "Pages that the host tier can hold.",
        lambda h: h.pages_total,
    ),
    Entry(
        "specwatch_engine_host_used_pages",
        False,
        "Pages of evicted prefixes in the host tier.",
        lambda h: h.pages_used,
    ),
    Entry(
        "specwatch_engine_host_stored_pages",
        True,
        "Evicted pages that were copied to the host tier.",
        lambda h: h.stored_total,
    ),
    Entry(
        "specwatch_engine_host_loaded_pages",
        True,
        "Pages that came back from the host tier.",
        lambda h: h.loaded_total,
    ),
    Entry(
        "specwatch_engine_host_failed_loads",
        True,
        "Loads from the host tier that failed, each with its request.",
        lambda h: h.failed_loads_total,
    ),
)


class EngineCollector(Collector):
    """Reads one snapshot a scrape."""

    def __init__(self, read_snapshot: Callable[[], EngineSnapshot], model_name: str) -> None:
        self._read_snapshot = read_snapshot
        self._model_name = model_name

    def collect(self) -> Iterable[Metric]:
        snapshot = self._read_snapshot()
        yield self._corrupted(snapshot)
        for entry in CATALOG:
            family = CounterMetricFamily if entry.is_counter else GaugeMetricFamily
            metric = family(entry.name, entry.help, labels=["model_name"])
            metric.add_metric([self._model_name], entry.read(snapshot))
            yield metric
        if snapshot.host is not None:
            yield from self._host(snapshot.host)

    def _host(self, host: HostNumbers) -> Iterable[Metric]:
        """Only where there is a host tier."""
        for entry in HOST_CATALOG:
            family = CounterMetricFamily if entry.is_counter else GaugeMetricFamily
            metric = family(entry.name, entry.help, labels=["model_name"])
            metric.add_metric([self._model_name], entry.read(host))
            yield metric

    def _corrupted(self, snapshot: EngineSnapshot) -> Metric:
        """By kind; no sample at all while the sanitizer is off: off is not the same as none."""
        metric = CounterMetricFamily(
            "specwatch_engine_corrupted_tokens",
            "Tokens computed from wrong KV cache, by what was wrong (KV sanitizer).",
            labels=["model_name", "kind"],
        )
        for kind, tokens in snapshot.corrupted_tokens_total.items():
            metric.add_metric([self._model_name, kind.value], tokens)
        return metric


def build_registry(
    read_snapshot: Callable[[], EngineSnapshot], model_name: str
) -> CollectorRegistry:
    """A registry of this server alone: two servers in one process do not meet."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(read_snapshot, model_name))
    return registry
