"""The model that a benchmark runs: once in our engine, once in transformers."""

import argparse
import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from inference_backend.engine.build import build_engine
from inference_backend.engine.engine import Engine
from inference_backend.engine.options import DTYPES, EngineOptions
from inference_backend.model.progress import ProgressBar
from inference_backend.model.source import ModelFolder, load_model_files
from inference_backend.model.weights import (
    LoadedWeights,
    expected_shapes,
    load_tokenizer,
    load_weights,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWER_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's files, and where and how precisely to run it."""

    folder: ModelFolder
    weights: LoadedWeights
    tokenizer: "PreTrainedTokenizerBase"
    device: str
    dtype: str

    def engine(self, **options: Any) -> Engine:
        """A new engine; ``options`` are those of ``EngineOptions``."""
        release_memory()
        chosen = EngineOptions(device=self.device, dtype=self.dtype, **options)
        return build_engine(self.weights, chosen)

    def reference(self) -> Any:
        """The model in transformers, for greedy answers of a given length."""
        from transformers import AutoModelForCausalLM  # noqa: PLC0415 (slow, not always needed)

        release_memory()
        model: Any = AutoModelForCausalLM.from_pretrained(
            self.folder.path, dtype=DTYPES[self.dtype], local_files_only=True
        )
        model.generation_config.eos_token_id = None  # every answer gets its full length
        model.generation_config.pad_token_id = 0
        model.to(self.device)
        return model.eval()


def add_model_options(parser: argparse.ArgumentParser, *, dtype: str | None = None) -> None:
    """``--model``, ``--device``, ``--threads``, and ``--dtype`` unless it is fixed."""
    parser.add_argument("--model", help="folder or name (default: SmolLM2-135M-Instruct)")
    parser.add_argument(
        "--layers", type=int, help="cut the model to its first layers: quick, without language"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="threads of torch on the CPU")
    if dtype is None:
        parser.add_argument(
            "--dtype", choices=list(DTYPES), help="default: float32 on cpu, bfloat16 on cuda"
        )
    else:
        parser.set_defaults(dtype=dtype)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")


def load_subject(options: argparse.Namespace) -> Subject:
    """Finds the model that the options name; sets torch's threads."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    with ProgressBar() as progress:
        folder = load_model_files(options.model, progress)
    dtype = options.dtype or {"cpu": "float32", "cuda": "bfloat16"}[options.device]
    weights = load_weights(folder)
    if options.layers is not None:
        weights = cut_short(weights, options.layers)
    return Subject(folder, weights, load_tokenizer(folder), options.device, dtype)


def cut_short(weights: LoadedWeights, layers: int) -> LoadedWeights:
    """The first layers, and the first ``FEWER_TOKENS`` of the vocabulary; the name says so."""
    config = replace(
        weights.config,
        num_layers=layers,
        vocab_size=FEWER_TOKENS,
        name=f"{weights.config.name}, {layers} layers and {FEWER_TOKENS} tokens of it",
    )
    tensors = {
        name: weights.tensors[name][: shape[0]] for name, shape in expected_shapes(config).items()
    }
    return LoadedWeights(config, tensors)


def release_memory() -> None:
    """Gives back what a dropped engine or model held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
