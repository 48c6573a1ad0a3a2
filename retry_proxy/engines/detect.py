"""Which engine a replica is, decided from what it answers. Pure: the prober fetches the pages."""

from collections.abc import Callable, Mapping
from typing import Any

from retry_proxy.engines.adapter import EngineAdapter, EngineProfile
from retry_proxy.engines.llamacpp import LlamaCppAdapter
from retry_proxy.engines.openai import OpenAiAdapter
from retry_proxy.engines.sglang import SglangAdapter
from retry_proxy.engines.vllm import VllmAdapter

# What the prober fetches: JSON, or text for metrics; None for anything but status 200.
IDENTITY_PATHS = ("/server_info", "/version", "/props")
PROBED_PATHS = (*IDENTITY_PATHS, "/v1/models", "/metrics")

Answers = Mapping[str, Any]


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
    if isinstance(answers.get("/server_info"), dict):
        return "sglang"
    if isinstance(answers.get("/props"), dict):
        return "llamacpp"
    version = answers.get("/version")
    if isinstance(version, dict) and "version" in version:
        return "vllm"
    return "openai"


def _sglang_profile(answers: Answers) -> EngineProfile:
    info = answers.get("/server_info")
    info = info if isinstance(info, dict) else {}
    width = _positive(info.get("speculative_num_draft_tokens"))
    steps = _positive(info.get("speculative_num_steps"))
    is_tree = (_positive(info.get("speculative_eagle_topk")) or 1) > 1
    is_fixed = not info.get("speculative_adaptive")
    drafts = steps if steps is not None else (width - 1 if width is not None else None)
    return EngineProfile(
        name="sglang",
        version=_text(info.get("version")),
        is_integrated=info.get("engine") == "specwatch",
        is_speculating=bool(info.get("speculative_algorithm")) or bool(width or steps),
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


def _models(answers: Answers) -> tuple[str, ...]:
    listing = answers.get("/v1/models")
    entries = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(entries, list):
        return ()
    names = (entry.get("id") for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if isinstance(name, str))


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
