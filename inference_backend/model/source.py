"""Turns what the user named (nothing, a folder, a GGUF file, a hub name) into a loadable folder."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from inference_backend.errors import ModelUnavailable
from inference_backend.model.gguf import prepare_gguf
from inference_backend.model.progress import NoProgress, ProgressSink
from inference_backend.model.smollm2 import DEFAULT_MODEL, prepare_smollm2

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "tokenizer*"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with ``config.json``, ``*.safetensors`` and a tokenizer, and the name to serve."""

    path: Path
    name: str


def load_model_files(model: str | None, progress: ProgressSink | None = None) -> ModelFolder:
    """Finds or makes the folder of ``model``; ``None`` is the default model.

    The default model and GGUF files are converted once and cached (see ``cache_root``); later calls
    return at once.

    Raises:
        ModelUnavailable: it can be neither found nor fetched; the message says what to do.
    """
    progress = progress or NoProgress()
    if model is None or model.lower() == DEFAULT_MODEL:
        return ModelFolder(prepare_smollm2(cache_root(), progress), DEFAULT_MODEL)
    path = Path(model).expanduser()
    if path.is_dir():
        return ModelFolder(path, path.resolve().name)
    if path.is_file() and path.suffix == ".gguf":
        name = path.stem.lower()
        return ModelFolder(prepare_gguf(path, cache_root() / "models" / name, progress), name)
    if path.exists():
        raise ModelUnavailable(f"{model} is neither a model folder nor a .gguf file")
    if not HUB_NAME.fullmatch(model):
        raise ModelUnavailable(
            f"there is no folder {model!r}, and it is not a hub name either (owner/name). "
            f"Leave --model out for the default model, {DEFAULT_MODEL}"
        )
    return ModelFolder(download_from_hub(model), model.rsplit("/", 1)[-1].lower())


def cache_root() -> Path:
    """``$SPECWATCH_CACHE``, or ``specwatch`` in the user's cache folder."""
    if named := os.environ.get("SPECWATCH_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specwatch"


def download_from_hub(name: str) -> Path:
    """Fetches a snapshot through ``huggingface_hub``, or finds it in that library's own cache."""
    # Only here is the hub's client needed, and it is slow to import.
    import httpx  # noqa: PLC0415
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        httpx.HTTPError,
        OSError,
    ) as error:
        raise ModelUnavailable(
            f"model {name!r} is no local folder and could not be fetched from the hub "
            f"({type(error).__name__}). Check the name and the network, or copy the model's folder "
            f"(config.json, *.safetensors, tokenizer.json) here and pass its path as --model"
        ) from error
