"""Model folders: what loads, and what is refused with which words."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from inference_backend.errors import ModelUnavailable
from inference_backend.model.shape import LlamaShape
from inference_backend.model.source import ModelFolder, cache_root, load_model_files
from inference_backend.model.weights import (
    expected_shapes,
    load_tokenizer,
    load_weights,
    read_shape,
)
from tests.fakes.byte_tokenizer import build_byte_tokenizer

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 10,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5000.0,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def tensors_of(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    shapes = expected_shapes(read_shape("tiny", config, {}))
    return {
        name: torch.full(shape, float(number))
        for number, (name, shape) in enumerate(shapes.items())
    }


def write_folder(
    path: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> ModelFolder:
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, path / "model.safetensors")
    return ModelFolder(path, "tiny")


def test_sizes_are_read_from_the_config() -> None:
    generation = {"eos_token_id": [2, 7]}
    assert read_shape("tiny", CONFIG, generation) == LlamaShape(
        name="tiny",
        hidden_size=8,
        intermediate_size=12,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=2,
        vocab_size=10,
        max_context=64,
        rope_theta=5000.0,
        rms_norm_eps=1e-5,
        tie_embeddings=True,
        bos_token_id=1,
        eos_token_ids=(2, 7),
    )


def test_rope_theta_is_read_as_transformers_5_writes_it() -> None:
    config = CONFIG | {"rope_parameters": {"rope_theta": 7.0, "rope_type": "default"}}
    assert read_shape("tiny", config, {}).rope_theta == 7.0


def test_tied_model_has_no_output_matrix(tmp_path: Path) -> None:
    tensors = tensors_of(CONFIG)
    folder = write_folder(tmp_path, CONFIG, tensors | {"lm_head.weight": torch.zeros(10, 8)})
    loaded = load_weights(folder)
    assert set(loaded.tensors) == set(tensors)
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(loaded.tensors[name], tensors[name])


def test_untied_model_needs_its_output_matrix(tmp_path: Path) -> None:
    config = CONFIG | {"tie_word_embeddings": False}
    folder = write_folder(tmp_path, config, tensors_of(CONFIG))
    with pytest.raises(ModelUnavailable, match=r"lack lm_head\.weight"):
        load_weights(folder)


def test_tensors_keep_the_type_they_are_stored_in(tmp_path: Path) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in tensors_of(CONFIG).items()}
    loaded = load_weights(write_folder(tmp_path, CONFIG, tensors))
    assert {tensor.dtype for tensor in loaded.tensors.values()} == {torch.bfloat16}


def test_shards_are_those_that_the_index_names(tmp_path: Path) -> None:
    tensors = tensors_of(CONFIG)
    names = sorted(tensors)
    write_folder(tmp_path, CONFIG, {})
    (tmp_path / "model.safetensors").unlink()
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, tmp_path / file)
    save_file({"stray": torch.zeros(1)}, tmp_path / "stray.safetensors")
    index = {name: file for file, part in shards.items() for name in part}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert set(load_weights(ModelFolder(tmp_path, "tiny")).tensors) == set(tensors)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"lacks b\.safetensors"):
        load_weights(ModelFolder(tmp_path, "tiny"))


def test_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    tensors = tensors_of(CONFIG) | {"model.norm.weight": torch.zeros(9)}
    with pytest.raises(ModelUnavailable, match=r"model\.norm\.weight has shape \(9,\)"):
        load_weights(write_folder(tmp_path, CONFIG, tensors))


def test_damaged_file_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, CONFIG, tensors_of(CONFIG))
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors is damaged"):
        load_weights(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architectures": ["MambaForCausalLM"], "model_type": "mamba"}, "MambaForCausalLM"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "Llama architecture"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "rope_scaling of type 'llama3'"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "'linear'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "'yarn'"),
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised"),
    ],
)
def test_what_the_engine_does_not_compute_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelUnavailable, match=words):
        read_shape("tiny", CONFIG | change, {})


def test_config_that_lacks_a_size_is_refused() -> None:
    config = {key: value for key, value in CONFIG.items() if key != "vocab_size"}
    with pytest.raises(ModelUnavailable, match="does not say vocab_size"):
        read_shape("tiny", config, {})


def test_folder_without_config_or_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no config\.json"):
        load_weights(ModelFolder(tmp_path, "tiny"))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(ModelUnavailable, match=r"no \*\.safetensors"):
        load_weights(ModelFolder(tmp_path, "tiny"))


def test_tokenizer_comes_from_the_folder(tmp_path: Path) -> None:
    build_byte_tokenizer().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(ModelFolder(tmp_path, "tiny"))
    assert tokenizer.encode("ab") == [97, 98]
    assert tokenizer.chat_template is not None


def test_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"copy tokenizer\.json"):
        load_tokenizer(ModelFolder(tmp_path, "tiny"))


def test_local_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert load_model_files(str(tmp_path)) == ModelFolder(tmp_path, tmp_path.name)


def test_name_that_is_neither_folder_nor_hub_name_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="no folder 'nowhere'"):
        load_model_files("nowhere")


def test_name_that_the_hub_library_refuses_is_told_with_the_way_out() -> None:
    with pytest.raises(ModelUnavailable, match=r"could not be fetched .* pass its path as --model"):
        load_model_files("nobody/no--thing")


def test_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPECWATCH_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("SPECWATCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "specwatch"
