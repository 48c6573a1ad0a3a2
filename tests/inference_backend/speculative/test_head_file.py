"""Draft heads on disk."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inference_backend.errors import ModelUnavailable
from inference_backend.speculative.head import DraftHead, HeadShape
from inference_backend.speculative.head_file import LoadedHead, find_head, load_head, save_head
from tests.fakes.tiny_model import SHAPE

FREQUENT = torch.tensor([5, 3, 9, 0])


def saved(folder: Path) -> tuple[Path, DraftHead]:
    torch.manual_seed(0)
    head = DraftHead(SHAPE, HeadShape(SHAPE.hidden_size, 40))
    path = folder / "head.safetensors"
    save_head(path, head, SHAPE, FREQUENT)
    return path, head


def load(path: Path) -> LoadedHead:
    return load_head(path, SHAPE, torch.device("cpu"), torch.float32)


def test_a_saved_head_is_read_back(tmp_path: Path) -> None:
    """In bfloat16; its sizes come from the file."""
    path, head = saved(tmp_path)
    loaded = load(path)
    assert loaded.head.shape == HeadShape(SHAPE.hidden_size, 40)
    assert loaded.frequent_tokens.tolist() == FREQUENT.tolist()
    ours, theirs = head.state_dict(), loaded.head.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value.bfloat16().float(), theirs[name])
    assert not any(parameter.requires_grad for parameter in loaded.head.parameters())


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    other = replace(SHAPE, name="other", hidden_size=128)
    with pytest.raises(ModelUnavailable, match=r"hidden size 64 \(tiny\), but other has 128"):
        load_head(path, other, torch.device("cpu"), torch.float32)


def test_a_head_whose_weights_do_not_fit_is_refused(tmp_path: Path) -> None:
    """As one made for another number of heads."""
    path, _ = saved(tmp_path)
    other = replace(SHAPE, name="other", num_kv_heads=4)
    with pytest.raises(ModelUnavailable, match="does not fit other"):
        load_head(path, other, torch.device("cpu"), torch.float32)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors here")
    plain = tmp_path / "plain.safetensors"
    save_file({"weight": torch.zeros(2)}, plain)
    for path in (text, plain, tmp_path / "missing.safetensors"):
        with pytest.raises(ModelUnavailable, match="is not a draft head"):
            load(path)


def test_the_given_file_is_taken_or_missed_loudly(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    assert find_head(SHAPE, str(path)) == path
    with pytest.raises(ModelUnavailable, match=r"speculative\.train"):
        find_head(SHAPE, str(tmp_path / "nothing"))


def test_a_model_without_a_shipped_head_has_none() -> None:
    assert find_head(SHAPE, None) is None
    shipped = find_head(replace(SHAPE, name="smollm2-135m-instruct"), None)
    assert shipped is not None
