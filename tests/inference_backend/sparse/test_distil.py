"""Fitting an indexer, and judging it."""

import hashlib
from pathlib import Path

import torch

from inference_backend.sparse.distil import distil, summed_attention
from inference_backend.sparse.indexer import Indexer, default_index_shape
from inference_backend.sparse.quality import (
    by_attention,
    by_indexer,
    by_recency,
    measure,
)
from inference_backend.sparse.text import find_files, read_rows
from inference_backend.sparse.train import FitPlan, fit
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE, VOCAB, tiny_model

LENGTH = 64


def some_text(rows: int, length: int = LENGTH) -> torch.Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(3))


def test_attention_weights_are_a_causal_distribution() -> None:
    query, key = torch.randn(1, 4, 4, 8), torch.randn(1, 6, 2, 8)
    future = torch.arange(6) > torch.tensor([0, 2, 3, 5])[:, None]
    weights = summed_attention(query, key, future)[0]
    assert torch.allclose(weights.sum(-1), torch.ones(4))
    assert not weights[future].any()
    scores = (query[0, 2, 3] @ key[0, :, 1].T * 8**-0.5).masked_fill(future[2], float("-inf"))
    others = [
        (query[0, 2, head] @ key[0, :, head // 2].T * 8**-0.5)
        .masked_fill(future[2], float("-inf"))
        .softmax(-1)
        for head in range(3)
    ]
    assert torch.allclose(weights[2], (scores.softmax(-1) + sum(others)) / 4, atol=1e-6)


def test_each_layer_gets_its_own_gradient_and_a_true_divergence() -> None:
    model = tiny_model()
    indexer = Indexer(SHAPE, default_index_shape(SHAPE))
    losses = distil(model, indexer, some_text(2), torch.tensor([10, 30, 60]))
    assert losses.shape == (SHAPE.num_layers,)
    assert (losses >= 0).all()
    for parameter in indexer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


def test_fitting_brings_the_scores_nearer_to_the_attention() -> None:
    """A tiny model, two seconds: the divergence falls by a third, and the choice gets better."""
    model = tiny_model()
    rows = some_text(4, 128)
    queries = torch.arange(64, 128)
    plan = FitPlan(seconds=2.0, batch_rows=2, queries=32, learning_rate=5e-3, seed=1)
    fitted = fit(model, rows, default_index_shape(SHAPE), plan)
    raw = tiny_indexer()
    before = distil(model, raw.requires_grad_(True), rows.long(), queries).mean()
    after = distil(model, fitted, rows.long(), queries).mean()
    assert after < before * 0.67
    kept = {
        name: measure(model, some_text(1, 200)[0], by_indexer(one), 48, 0).recall
        for name, one in {"fitted": fitted, "raw": raw}.items()
    }
    assert kept["fitted"] > kept["raw"]


def test_ways_of_choosing_are_ordered() -> None:
    """The attention's own choice keeps the most; full attention keeps all."""
    shape = SHAPE
    model = tiny_model(shape)
    text = some_text(1, 250)[0]
    kept = [measure(model, text, way, 40, 0).recall for way in (None, by_attention, by_recency)]
    assert kept[0] == 1.0
    assert kept[0] > kept[1] > kept[2] > 0.1


class Letters:
    """A tokenizer of characters."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]


def test_files_are_split_by_name_and_cut_into_rows(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "left_out.py").write_text("x")
    (tmp_path / "image.png").write_bytes(b"x")
    names = [f"file{number}.py" for number in range(60)]
    for name in names:
        (tmp_path / name).write_text(f"{name:>12}")
    seen = {path.name for path in find_files([tmp_path], held_out=False)}
    held = {path.name for path in find_files([tmp_path], held_out=True)}
    assert seen | held == set(names)
    assert not seen & held
    assert held == {
        name for name in names if int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10 == 0
    }
    rows = read_rows(Letters(), find_files([tmp_path], held_out=True), 5, 3)
    assert rows.shape == (3, 5)
