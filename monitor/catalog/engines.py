"""Metrics that the engines tell of themselves, under one name whatever the engine calls them.

A number that an engine does not tell has no series: nothing is filled in.
"""

from monitor.catalog.metric import Metric, MetricType, metrics_of


def _gauge(name: str, unit: str, help_text: str) -> Metric:
    full = f"specwatch_engine_{name}"
    return Metric(full, MetricType.GAUGE, unit, help_text, ("replica",), is_pulled=True)


def _total(name: str, unit: str, help_text: str, labels: tuple[str, ...] = ("engine",)) -> Metric:
    full = f"specwatch_engine_{name}_total"
    return Metric(full, MetricType.COUNTER, unit, help_text, labels, is_pulled=True)


SCRAPED = _gauge(
    "scrape_success",
    "flag",
    "1 if the replica's last /metrics could be read and was an engine's, else 0.",
)
MISSING = Metric(
    "specwatch_engine_missing_metrics",
    MetricType.GAUGE,
    "metrics",
    "Load metrics (running, waiting, cache) that an engine should tell and its replicas did not; "
    "renamed ones are named by /api/engine-metrics.",
    ("engine",),
    is_pulled=True,
)
RUNNING = _gauge("running_requests", "requests", "Requests that the engine computes now.")
WAITING = _gauge("waiting_requests", "requests", "Requests that wait in the engine.")
CACHE_USAGE = _gauge("cache_usage_ratio", "ratio", "Share of the KV cache in use.")
ACCEPT_LENGTH = _gauge(
    "accept_length",
    "tokens",
    "Tokens per verification step since the last scrape by the engine's own counters, or its own "
    "gauge where it has no counters.",
)
ACCEPT_RATE = _gauge(
    "accept_rate", "ratio", "Share of the drafts that were accepted, from the same source."
)
PREEMPTIONS = _total(
    "preemptions", "requests", "Requests preempted or retracted for lack of cache.", ("replica",)
)
ABORTS = _total("aborted_requests", "requests", "Requests that the engine ended early.")
GENERATED = _total("generated_tokens", "tokens", "Tokens that the engines generated.")
FIRST_TOKENS = _total("first_tokens", "requests", "Requests whose first token the engine timed.")
FIRST_TOKEN_SECONDS = _total(
    "first_token_seconds", "seconds", "Time to the first token, summed over them."
)
FINISHED = _total("finished_requests", "requests", "Requests that the engine timed to their end.")
FINISHED_SECONDS = _total("finished_seconds", "seconds", "Time to the end, summed over them.")
VERIFY_STEPS = _total("verify_steps", "steps", "Verification steps by the engine's own counter.")
POSITION_ACCEPTED = _total(
    "position_accepted",
    "steps",
    "Steps in which the draft at this position (from 1) was accepted; vLLM and llama.cpp tell it.",
    ("engine", "kind"),
)

ALL = metrics_of(vars())
