"""What each engine calls its metrics, old names too. A table; reads nothing.

Sources: the metrics of SGLang 0.5.23, vLLM 0.32.0 and llama.cpp b11434 as captured, SGLang's
`metrics_collector.py`, vLLM's `v1/metrics/loggers.py` and its v0 `engine/metrics.py`. The
integrated engine has SGLang's names and a few of its own.
"""

import enum
from collections.abc import Mapping


class Quantity(enum.StrEnum):
    """One number, whatever an engine calls it."""

    RUNNING = "running_requests"
    WAITING = "waiting_requests"
    CACHE_USAGE = "cache_usage"
    ACCEPT_LENGTH_GAUGE = "accept_length_gauge"
    ACCEPT_RATE_GAUGE = "accept_rate_gauge"
    VERIFY_STEPS = "verify_steps"
    DRAFTED = "drafted"
    ACCEPTED = "accepted"
    POSITION_ACCEPTED = "position_accepted"
    PREEMPTIONS = "preemptions"
    ABORTS = "aborted_requests"
    GENERATED = "generated_tokens"
    FIRST_TOKENS = "first_tokens"
    FIRST_TOKEN_SECONDS = "first_token_seconds"
    FINISHED = "finished"
    FINISHED_SECONDS = "finished_seconds"


_Q = Quantity

# Series of one quantity that are not added up: the largest of the ranks tells how full it is.
MAXIMA = frozenset({_Q.CACHE_USAGE, _Q.ACCEPT_LENGTH_GAUGE, _Q.ACCEPT_RATE_GAUGE})

# What every engine with metrics tells of its load; one that does not has renamed it.
LOAD = {
    "sglang": (_Q.RUNNING, _Q.WAITING, _Q.CACHE_USAGE),
    "vllm": (_Q.RUNNING, _Q.WAITING, _Q.CACHE_USAGE),
    "llamacpp": (_Q.RUNNING, _Q.WAITING),  # it stopped telling its cache's use
}

# With "sglang:" or "sglang_" before them.
_SGLANG: Mapping[str, Quantity] = {
    "num_running_reqs": _Q.RUNNING,
    "num_queue_reqs": _Q.WAITING,
    "token_usage": _Q.CACHE_USAGE,
    "spec_accept_length": _Q.ACCEPT_LENGTH_GAUGE,
    "spec_accept_rate": _Q.ACCEPT_RATE_GAUGE,
    "spec_verify_calls_total": _Q.VERIFY_STEPS,
    "num_retracted_requests_total": _Q.PREEMPTIONS,
    "num_aborted_requests_total": _Q.ABORTS,
    "generation_tokens_total": _Q.GENERATED,
    "time_to_first_token_seconds_count": _Q.FIRST_TOKENS,
    "time_to_first_token_seconds_sum": _Q.FIRST_TOKEN_SECONDS,
    "e2e_request_latency_seconds_count": _Q.FINISHED,
    "e2e_request_latency_seconds_sum": _Q.FINISHED_SECONDS,
}
_INTEGRATED: Mapping[str, Quantity] = {
    "specwatch_engine_proposed_drafts_total": _Q.DRAFTED,
    "specwatch_engine_correct_drafts_total": _Q.ACCEPTED,
}
_VLLM: Mapping[str, Quantity] = {
    "num_requests_running": _Q.RUNNING,
    "num_requests_waiting": _Q.WAITING,
    "kv_cache_usage_perc": _Q.CACHE_USAGE,
    "gpu_cache_usage_perc": _Q.CACHE_USAGE,  # until 0.10
    "spec_decode_num_drafts_total": _Q.VERIFY_STEPS,
    "spec_decode_num_draft_tokens_total": _Q.DRAFTED,
    "spec_decode_num_accepted_tokens_total": _Q.ACCEPTED,
    "spec_decode_num_accepted_tokens_per_pos_total": _Q.POSITION_ACCEPTED,
    "spec_decode_draft_acceptance_rate": _Q.ACCEPT_RATE_GAUGE,  # v0
    "num_preemptions_total": _Q.PREEMPTIONS,
    "generation_tokens_total": _Q.GENERATED,
    "time_to_first_token_seconds_count": _Q.FIRST_TOKENS,
    "time_to_first_token_seconds_sum": _Q.FIRST_TOKEN_SECONDS,
    "e2e_request_latency_seconds_count": _Q.FINISHED,
    "e2e_request_latency_seconds_sum": _Q.FINISHED_SECONDS,
}
_LLAMACPP: Mapping[str, Quantity] = {
    "requests_processing": _Q.RUNNING,
    "requests_deferred": _Q.WAITING,
    "kv_cache_usage_ratio": _Q.CACHE_USAGE,  # older ones
    "spec_decode_num_drafts_total": _Q.VERIFY_STEPS,
    "spec_decode_num_draft_tokens_total": _Q.DRAFTED,
    "spec_decode_num_accepted_tokens_total": _Q.ACCEPTED,
    "spec_decode_num_accepted_tokens_per_pos_total": _Q.POSITION_ACCEPTED,
    "tokens_predicted_total": _Q.GENERATED,
}

NAMES: Mapping[str, Quantity] = {
    **{f"sglang:{name}": quantity for name, quantity in _SGLANG.items()},
    **{f"sglang_{name}": quantity for name, quantity in _SGLANG.items()},
    **_INTEGRATED,
    **{f"vllm:{name}": quantity for name, quantity in _VLLM.items()},
    **{f"llamacpp:{name}": quantity for name, quantity in _LLAMACPP.items()},
    # vLLM counts ends by their reason; of these only one is an abort.
    'vllm:request_success_total{finished_reason="abort"}': _Q.ABORTS,
}
