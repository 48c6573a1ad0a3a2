"""The transformer computes what transformers' Llama computes."""

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from inference_backend.model.packed import PackedLinear, PlainLinear, fast_linear, pack
from inference_backend.model.shape import LlamaShape
from inference_backend.model.transformer import build_transformer
from inference_backend.speculative.unroll import target_hidden
from tests.fakes.engine_runs import prompt
from tests.fakes.tiny_model import SHAPE, VOCAB, tiny_model

SHAPES = {
    "tied, grouped": SHAPE,
    "untied": replace(SHAPE, tie_embeddings=False),
    "one key head": replace(SHAPE, num_kv_heads=1, rope_theta=500.0),
    "as many key heads": replace(SHAPE, num_kv_heads=4, num_layers=3),
    "own head size": replace(SHAPE, head_dim=24),
}


def hub_model(shape: LlamaShape) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab_size,
        max_position_embeddings=shape.max_context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        rms_norm_eps=shape.rms_norm_eps,
        tie_word_embeddings=shape.tie_embeddings,
        initializer_range=0.2,
    )
    model: LlamaForCausalLM = LlamaForCausalLM(config)
    model.train(False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_logits_equal_those_of_transformers(name: str) -> None:
    shape = SHAPES[name]
    theirs = hub_model(shape)
    ours = build_transformer(shape, theirs.state_dict(), torch.device("cpu"), torch.float32)
    tokens = torch.tensor([prompt(30, 1), prompt(30, 2)])
    logits = ours.logits(target_hidden(ours, tokens))
    assert torch.allclose(logits, theirs(tokens).logits, atol=1e-4)


@torch.inference_mode()
def test_packing_changes_the_layout_and_nothing_else() -> None:
    plain, packed = tiny_model(), tiny_model()
    pack(packed)
    tokens = torch.tensor([prompt(33)])
    assert torch.allclose(
        plain.logits(target_hidden(plain, tokens)),
        packed.logits(target_hidden(packed, tokens)),
        atol=1e-4,
    )


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 17, 100])
def test_packed_and_plain_products_agree(rows: int) -> None:
    weight = torch.randn(VOCAB, 48, generator=torch.Generator().manual_seed(0))
    states = torch.randn(rows, 48, generator=torch.Generator().manual_seed(rows))
    expected = states @ weight.T
    assert torch.allclose(fast_linear(weight)(states), expected, atol=1e-4)
    assert torch.allclose(PlainLinear(weight)(states), expected, atol=1e-4)


def test_half_precision_is_not_packed() -> None:
    assert not isinstance(fast_linear(torch.zeros(4, 4, dtype=torch.bfloat16)), PackedLinear)
