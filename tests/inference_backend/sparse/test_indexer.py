"""The indexer's projections and its file."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inference_backend.errors import ModelUnavailable
from inference_backend.model.elementwise import rotate
from inference_backend.sparse.index_file import (
    SHIPPED,
    find_indexer,
    load_indexer,
    prepared,
    save_indexer,
)
from inference_backend.sparse.indexer import (
    Indexer,
    default_index_shape,
    index_scores,
    undo_rotation,
)
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE

CPU = torch.device("cpu")


def test_the_rotation_is_undone() -> None:
    indexer = tiny_indexer()
    turns = indexer.turns(torch.tensor([0, 3, 200]))
    states = torch.randn(3, 4, SHAPE.head_dim)
    turned = rotate(states, turns.target_cosine, turns.target_sine)
    assert torch.allclose(undo_rotation(turned, turns), states, atol=1e-5)
    assert not torch.allclose(turned[1:], states[1:], atol=1e-2)


def test_scores_depend_on_distances_not_on_places() -> None:
    """The same tokens 50 positions later score the same: nothing absolute is in it."""
    indexer = tiny_indexer()
    one = indexer.layer(1)
    query = torch.randn(1, SHAPE.num_heads, SHAPE.head_dim)
    key = torch.randn(6, SHAPE.num_kv_heads, SHAPE.head_dim)

    def scores(shift: int) -> torch.Tensor:
        key_turns = indexer.turns(torch.arange(6) + shift)
        query_turns = indexer.turns(torch.tensor([5 + shift]))
        turned_key = rotate(key, key_turns.target_cosine, key_turns.target_sine)
        turned_query = rotate(query, query_turns.target_cosine, query_turns.target_sine)
        keys = one.index_keys(turned_key, key_turns)
        queries, weights = one.index_queries(turned_query, query_turns)
        return index_scores(queries[None], weights[None], keys[None])

    assert torch.allclose(scores(0), scores(50), atol=1e-4)


def test_scores_are_the_weighted_sum_of_positive_products() -> None:
    queries, weights, keys = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 4), torch.randn(2, 5, 8)
    expected = torch.zeros(2, 3, 5)
    for batch in range(2):
        for row in range(3):
            for head in range(4):
                product = (keys[batch] @ queries[batch, row, head]).clamp(min=0)
                expected[batch, row] += weights[batch, row, head] * product
    assert torch.allclose(index_scores(queries, weights, keys), expected, atol=1e-5)


def test_the_index_is_an_eighth_of_the_cache() -> None:
    shape = default_index_shape(replace(SHAPE, num_kv_heads=3, head_dim=64))
    assert (shape.dim, shape.rotary_dim) == (48, 16)


def test_a_saved_indexer_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "indexer.safetensors"
    indexer = tiny_indexer()
    save_indexer(path, indexer, SHAPE)
    loaded = load_indexer(path, SHAPE, CPU, torch.float32)
    assert loaded.shape == indexer.shape
    for name, value in indexer.state_dict().items():
        assert torch.equal(value.bfloat16().float(), loaded.state_dict()[name])
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_lower_precision_leaves_the_rotation_exact() -> None:
    """bfloat16 has no room for the angle of a token far back."""
    indexer = prepared(Indexer(SHAPE, default_index_shape(SHAPE)), CPU, torch.bfloat16)
    assert indexer.layer(0).key.weight.dtype == torch.bfloat16
    assert indexer.rotary.cosine.dtype == torch.float32
    assert indexer.target_rotary.sine.dtype == torch.float32


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "indexer.safetensors"
    save_indexer(path, tiny_indexer(), SHAPE)
    with pytest.raises(ModelUnavailable, match=r"of tiny\) does not fit other"):
        load_indexer(path, replace(SHAPE, name="other", num_layers=3), CPU, torch.float32)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelUnavailable, match="is not an indexer"):
        load_indexer(path, SHAPE, CPU, torch.float32)
    path.write_text("no tensors here")
    with pytest.raises(ModelUnavailable, match="is not an indexer"):
        load_indexer(path, SHAPE, CPU, torch.float32)


def test_a_missing_indexer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no indexer is shipped for tiny.*dense"):
        find_indexer(SHAPE, None)
    with pytest.raises(ModelUnavailable, match="does not exist"):
        find_indexer(SHAPE, str(tmp_path / "none.safetensors"))


def test_one_is_shipped_for_the_default_model() -> None:
    shipped = find_indexer(replace(SHAPE, name="smollm2-135m-instruct"), None)
    assert shipped.parent == SHIPPED
    assert shipped.with_suffix(".md").is_file()
