"""Which engine a replica is, decided from what it answers. Pure: the prober fetches the pages."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from retry_proxy.engines.adapter import EngineAdapter, EngineProfile
from retry_proxy.engines.llamacpp import LlamaCppAdapter
from retry_proxy.engines.openai import OpenAiAdapter
from retry_proxy.engines.sglang import SglangAdapter
from retry_proxy.engines.vllm import VllmAdapter

# What the prober fetches: JSON, or text for metrics; None for anything but status 200.
IDENTITY_PATHS = ("/server_info", "/get_server_info", "/version", "/props")
PROBED_PATHS = (*IDENTITY_PATHS, "/v1/models", "/metrics")

Answers = Mapping[str, Any]

DENIED = "denied"  # instead of an answer, where a path needs a key
# Where the identity is denied: models are owned by their engine, and metrics are often open. Not
# elsewhere: a gateway may pass on such a list, and not the engine's own fields.
_OWNERS = ("sglang", "vllm", "llamacpp")
_SGLANG_DRAFTS = re.compile(r"^sglang:spec_num_draft_tokens(?:\{[^}]*\})? ([0-9.e+]+)", re.M)


def build_adapter(profile: EngineProfile) -> EngineAdapter:
    """The adapter of a profile's engine."""
    return _ADAPTERS[profile.name](profile)


def describe(answers: Answers, wanted: str) -> EngineProfile:
    """Profile of a replica.

    Args:
        answers: body by path of :data:`PROBED_PATHS`, ``None`` where it has none.
        wanted: the engine's name, or ``auto`` to settle it here.
    """
    name = _identify(answers) if wanted == "auto" else wanted
    return _PROFILES[name](answers)


def _identify(answers: Answers) -> str:
    if _server_info(answers):
        return "sglang"
    if isinstance(answers.get("/props"), dict):
        return "llamacpp"
    version = answers.get("/version")
    if isinstance(version, dict) and "version" in version:
        return "vllm"
    is_denied = any(answers.get(path) == DENIED for path in IDENTITY_PATHS)
    return (_owner(answers) if is_denied else None) or "openai"


def is_known(answers: Answers, wanted: str) -> bool:
    """The engine's name is given, or told by what a replica answers without a key."""
    return wanted != "auto" or _identify(answers) != "openai"


def _owner(answers: Answers) -> str | None:
    told = {entry.get("owned_by") for entry in _model_entries(answers)}
    metrics = answers.get("/metrics")
    told |= {line.partition(":")[0] for line in str(metrics or "").splitlines() if ":" in line}
    return next((name for name in _OWNERS if name in told), None)


def _server_info(answers: Answers) -> dict[str, Any]:
    """Newer and older path of SGLang."""
    for path in ("/server_info", "/get_server_info"):
        info = answers.get(path)
        if isinstance(info, dict):
            return info
    return {}


def _sglang_profile(answers: Answers) -> EngineProfile:
    info = _server_info(answers)
    width = _positive(info.get("speculative_num_draft_tokens"))
    steps = _positive(info.get("speculative_num_steps"))
    is_tree = (_positive(info.get("speculative_eagle_topk")) or 1) > 1
    is_fixed = not info.get("speculative_adaptive")
    drafts = steps if steps is not None else (width - 1 if width is not None else None)
    return EngineProfile(
        name="sglang",
        version=_text(info.get("version")),
        is_integrated=info.get("engine") == "specwatch",
        is_speculating=bool(info.get("speculative_algorithm"))
        or bool(width or steps)
        or _has_draft_metrics(answers),
        draft_tokens=drafts if drafts and is_fixed and not is_tree else None,
        models=_models(answers),
    )


def _vllm_profile(answers: Answers) -> EngineProfile:
    metrics = answers.get("/metrics")
    version = answers.get("/version")
    return EngineProfile(
        name="vllm",
        version=_text(version.get("version")) if isinstance(version, dict) else None,
        # The counters exist only if a speculative configuration does.
        is_speculating=isinstance(metrics, str) and "vllm:spec_decode_num_drafts" in metrics,
        models=_models(answers),
    )


def _llamacpp_profile(answers: Answers) -> EngineProfile:
    props = answers.get("/props")
    build = props.get("build_info") if isinstance(props, dict) else None
    return EngineProfile(name="llamacpp", version=_text(build), models=_models(answers))


def _openai_profile(answers: Answers) -> EngineProfile:
    return EngineProfile(name="openai", models=_models(answers))


_PROFILES: dict[str, Callable[[Answers], EngineProfile]] = {
    "sglang": _sglang_profile,
    "vllm": _vllm_profile,
    "llamacpp": _llamacpp_profile,
    "openai": _openai_profile,
}
_ADAPTERS: dict[str, Callable[[EngineProfile], EngineAdapter]] = {
    "sglang": SglangAdapter,
    "vllm": VllmAdapter,
    "llamacpp": LlamaCppAdapter,
    "openai": OpenAiAdapter,
}


def _has_draft_metrics(answers: Answers) -> bool:
    """Known to speculate, but not how wide: whether it is a chain is not told there."""
    metrics = answers.get("/metrics")
    found = _SGLANG_DRAFTS.search(metrics) if isinstance(metrics, str) else None
    return found is not None and float(found.group(1)) > 0


def _model_entries(answers: Answers) -> list[dict[str, Any]]:
    listing = answers.get("/v1/models")
    entries = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def _models(answers: Answers) -> tuple[str, ...]:
    names = (entry.get("id") for entry in _model_entries(answers))
    return tuple(name for name in names if isinstance(name, str))


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
