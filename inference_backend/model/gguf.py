"""Converts a GGUF file into a plain model folder, through transformers. Slow: done once a file."""

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_backend.errors import ModelUnavailable
from inference_backend.model.prepared import prepare
from inference_backend.model.progress import ProgressSink

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NOT_OF_THE_MODEL = ("quantization_config", "_name_or_path", "_model_name_or_path")


def prepare_gguf(gguf: Path, target: Path, progress: ProgressSink) -> Path:
    """Converts a file of the user's into ``target``, unless that was done since it last changed."""
    about = gguf.stat()
    source = f"{gguf.resolve()} {about.st_size} {about.st_mtime_ns}"
    return prepare(target, source, lambda folder: convert_gguf(gguf, folder, progress))


def convert_gguf(gguf: Path, folder: Path, progress: ProgressSink) -> None:
    """Writes config, tokenizer and safetensors into ``folder``.

    Values are stored exactly as transformers dequantises them, in float32: those of Q4_1 do not fit
    bfloat16.

    Raises:
        ModelUnavailable: transformers cannot read the file, or lacks a package for it.
    """
    try:
        write_converted(gguf, folder, progress)
    except ImportError as error:
        raise ModelUnavailable(
            f"reading {gguf.name} needs a package that is missing ({error}); "
            f"pip install 'specwatch[backend]'"
        ) from error
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ModelUnavailable(f"{gguf.name} could not be converted: {error}") from error
    progress.update("model ready", 100, 100)


def write_converted(gguf: Path, folder: Path, progress: ProgressSink) -> None:
    """About 25 s for the default model, nearly all of it in transformers' reading of the file."""
    # Slow imports, needed once in a cache's life.
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    with contextlib.redirect_stderr(io.StringIO()):  # transformers draws bars of its own
        progress.update("reading the tokenizer", 25, 100)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer.save_pretrained(folder)
        progress.update("dequantising the weights (only this once)", 40, 100)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
    progress.update("writing the cache", 90, 100)
    (folder / "config.json").write_text(json.dumps(plain_config(model), indent=1, default=str))
    (folder / "generation_config.json").write_text(model.generation_config.to_json_string())
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it private to the user


def plain_config(model: "PreTrainedModel") -> dict[str, Any]:
    """The config without what only describes the GGUF file; its name for the model is odd, too."""
    config: dict[str, Any] = model.config.to_dict()
    kept = {key: value for key, value in config.items() if key not in NOT_OF_THE_MODEL}
    return kept | {"architectures": [type(model).__name__]}
