"""Reads a Llama model's folder: sizes, tensors (mapped from disk, not copied) and tokenizer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from inference_backend.errors import ModelUnavailable
from inference_backend.model.shape import LlamaShape
from inference_backend.model.source import ModelFolder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A config that asks for another value is refused: the transformer would compute it wrongly.
REQUIRED_VALUES: Mapping[str, object] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A model's sizes and its tensors under Hugging Face's names, in the type they are stored in.

    ``lm_head.weight`` is there only if the embeddings are not tied.
    """

    config: LlamaShape
    tensors: Mapping[str, torch.Tensor]


def load_weights(folder: ModelFolder) -> LoadedWeights:
    """Maps all tensors of the folder.

    Raises:
        ModelUnavailable: a file or tensor is missing or has another shape, or the model is of a
            kind that the engine does not compute.
    """
    config = read_json(folder.path / "config.json")
    shape = read_shape(
        folder.name, config, read_optional_json(folder.path / "generation_config.json")
    )
    tensors: dict[str, torch.Tensor] = {}
    for file in find_shards(folder.path):
        tensors |= read_shard(file)
    if shape.tie_embeddings:
        tensors.pop("lm_head.weight", None)
    check_tensors(shape, tensors)
    return LoadedWeights(shape, tensors)


def load_tokenizer(folder: ModelFolder) -> "PreTrainedTokenizerBase":
    """Loads the folder's tokenizer, from the folder alone.

    Raises:
        ModelUnavailable: it is missing or unreadable.
    """
    # Slow to import, and the training of the draft head does without it.
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: PLC0415

    # tokenizer.json says everything; AutoTokenizer reads it too, but takes two seconds longer.
    factory = (
        PreTrainedTokenizerFast if (folder.path / "tokenizer.json").exists() else AutoTokenizer
    )
    try:
        tokenizer: PreTrainedTokenizerBase = factory.from_pretrained(
            folder.path, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelUnavailable(
            f"no usable tokenizer in {folder.path}: copy tokenizer.json and tokenizer_config.json "
            f"of the model there ({first_line(error)})"
        ) from error
    if not tokenizer.is_fast:
        raise ModelUnavailable(
            f"{folder.path} has no tokenizer.json: only fast tokenizers are supported"
        )
    return tokenizer


def read_shape(name: str, config: Mapping[str, Any], generation: Mapping[str, Any]) -> LlamaShape:
    """Reads the sizes from ``config.json`` and refuses what the transformer does not compute."""
    check_kind(config)
    try:
        return LlamaShape(
            name=name,
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_layers=config["num_hidden_layers"],
            num_heads=config["num_attention_heads"],
            num_kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            head_dim=config.get("head_dim")
            or config["hidden_size"] // config["num_attention_heads"],
            vocab_size=config["vocab_size"],
            max_context=config["max_position_embeddings"],
            rope_theta=float(
                read_rope(config).get("rope_theta") or config.get("rope_theta") or 10000.0
            ),
            rms_norm_eps=float(config["rms_norm_eps"]),
            tie_embeddings=bool(config.get("tie_word_embeddings", False)),
            bos_token_id=generation.get("bos_token_id", config.get("bos_token_id")),
            eos_token_ids=read_eos(config, generation),
        )
    except KeyError as error:
        raise ModelUnavailable(f"config.json of {name} does not say {error.args[0]}") from error


def check_kind(config: Mapping[str, Any]) -> None:
    """Raises ``ModelUnavailable`` unless this is a plain Llama with plain rotary embeddings."""
    architectures = config.get("architectures") or []
    if config.get("model_type") != "llama" or architectures not in ([], ["LlamaForCausalLM"]):
        found = f"model_type {config.get('model_type')!r}, architectures {architectures}"
        raise ModelUnavailable(
            f"only the Llama architecture (LlamaForCausalLM) is supported, not {found}"
        )
    for key, wanted in REQUIRED_VALUES.items():
        if config.get(key, wanted) != wanted:
            raise ModelUnavailable(f"{key} = {config[key]!r} is not supported, only {wanted!r}")
    if config.get("quantization_config"):
        raise ModelUnavailable(
            "quantised safetensors are not supported: give the plain weights, or a .gguf"
        )
    rope = read_rope(config)
    if (kind := rope.get("rope_type") or rope.get("type") or "default") != "default":
        raise ModelUnavailable(
            f"rope_scaling of type {kind!r} is not supported, only plain rotary embeddings"
        )


def read_rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``rope_parameters`` (transformers 5) or ``rope_scaling`` (before)."""
    rope: Mapping[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return rope


def read_eos(config: Mapping[str, Any], generation: Mapping[str, Any]) -> tuple[int, ...]:
    """End tokens of both files: chat models often name one only in ``generation_config.json``."""
    found: list[int] = []
    for source in (config, generation):
        named = source.get("eos_token_id")
        found += [] if named is None else [named] if isinstance(named, int) else list(named)
    return tuple(dict.fromkeys(found))


def find_shards(path: Path) -> list[Path]:
    """All ``*.safetensors``, or exactly those that the index names."""
    index = path / "model.safetensors.index.json"
    if not index.exists():
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise ModelUnavailable(
                f"there is no *.safetensors in {path}: copy the model's weights there"
            )
        return files
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise ModelUnavailable(f"{path} lacks {', '.join(missing)}, which its index names")
    return [path / name for name in names]


def read_shard(file: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(file, framework="pt") as shard:
            return {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(f"{file} is damaged ({error}): fetch or convert it again") from error


def check_tensors(shape: LlamaShape, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises ``ModelUnavailable`` for the first tensor that is missing or of another shape."""
    for name, expected in expected_shapes(shape).items():
        if name not in tensors:
            raise ModelUnavailable(f"the weights lack {name}")
        if tuple(tensors[name].shape) != expected:
            found = tuple(tensors[name].shape)
            raise ModelUnavailable(f"{name} has shape {found}, config.json says {expected}")


def expected_shapes(shape: LlamaShape) -> dict[str, tuple[int, ...]]:
    """Every tensor that the transformer reads, by name."""
    hidden, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{number}.{name}.weight": size
        for number in range(shape.num_layers)
        for name, size in layer.items()
    }
    shapes["model.embed_tokens.weight"] = (shape.vocab_size, hidden)
    shapes["model.norm.weight"] = (hidden,)
    if not shape.tie_embeddings:
        shapes["lm_head.weight"] = (shape.vocab_size, hidden)
    return shapes


def read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelUnavailable(
            f"there is no {file.name} in {file.parent}: is it a model folder?"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{file} must hold a JSON object")
    return content


def read_optional_json(file: Path) -> dict[str, Any]:
    return read_json(file) if file.exists() else {}


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
