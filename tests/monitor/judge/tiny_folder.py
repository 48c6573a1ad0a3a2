"""A folder with a tiny Llama model and a tokenizer of bytes, as transformers reads them."""

import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from tests.fakes.byte_tokenizer import VOCAB_SIZE, build_byte_tokenizer
from tests.fakes.tiny_model import SHAPE, tiny_tensors


def write_tiny_folder(folder: Path) -> Path:
    """Fills ``folder`` and returns it."""
    shape = replace(SHAPE, vocab_size=VOCAB_SIZE, max_context=512)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_tensors(shape), folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": shape.max_context,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tie_embeddings,
    }
    (folder / "config.json").write_text(json.dumps(config))
    build_byte_tokenizer().save_pretrained(folder)
    return folder
