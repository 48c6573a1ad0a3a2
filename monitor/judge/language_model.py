"""A causal language model of transformers that scores texts. The judge's process alone loads it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from monitor.errors import JudgeUnavailable
from monitor.judge.token_scores import score_tokens
from monitor.judge.window import ScoredToken

DEFAULT_MODEL = "smollm2-135m-instruct"
MAX_TOKENS = 1536


class LanguageModel:
    """Scores texts; keeps nothing of them.

    Args:
        model: a causal language model of transformers.
        tokenizer: a fast one: it must tell where its tokens lie in the text.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        longest = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
        self._max_tokens = min(MAX_TOKENS, longest - 1)

    def score(self, text: str) -> list[ScoredToken]:
        """Every token of ``text``, the last ones if there are too many for the model.

        A token that begins within a character (byte-level vocabularies) starts where that character
        does.
        """
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        token_ids = encoded["input_ids"][-self._max_tokens :]
        offsets = encoded["offset_mapping"][-self._max_tokens :]
        if not token_ids:
            return []
        sequence = torch.tensor([[self._opening_id(), *token_ids]])
        with torch.inference_mode():
            logits = self._model(sequence).logits[0, :-1]  # [tokens, vocabulary]
            scores = score_tokens(logits, sequence[0, 1:])
        return [
            ScoredToken(surprisal, rank, start)
            for surprisal, rank, (start, _) in zip(
                scores.surprisals, scores.ranks, offsets, strict=True
            )
        ]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of its own tokens."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def _opening_id(self) -> int:
        """What stands before a text that begins anywhere."""
        for name in ("bos_token_id", "eos_token_id"):
            token_id = getattr(self._tokenizer, name)
            if token_id is not None:
                return int(token_id)
        return 0


def load_language_model(name: str | None, threads: int) -> LanguageModel:
    """Loads a model by folder or hub name; ``None`` is the one that ``specwatch demo`` prepares.

    Raises:
        JudgeUnavailable: it cannot be loaded; the message says what to do.
    """
    torch.set_num_threads(threads)
    source = str(default_folder()) if name is None else os.path.expanduser(name)
    if name is None and not default_folder().is_dir():
        raise JudgeUnavailable(
            f"the judge's default model is not in {source} yet: run `specwatch demo` or "
            f"`specwatch backend` once, or name another folder with --judge-model"
        )
    if Path(source).is_dir() and not (Path(source) / "config.json").exists():
        raise JudgeUnavailable(f"the judge's model folder {source} has no config.json")
    try:
        tokenizer = load_tokenizer(source)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError) as error:
        line = next((text for text in str(error).splitlines() if text.strip()), "no reason given")
        raise JudgeUnavailable(f"the judge cannot load its model {source}: {line}") from error
    if not tokenizer.is_fast:
        raise JudgeUnavailable(f"the judge needs a model with a tokenizer.json, not {source}")
    return LanguageModel(model.eval(), tokenizer)


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a folder or hub name."""
    if (Path(source) / "tokenizer.json").exists():  # says everything, and is read faster
        return PreTrainedTokenizerFast.from_pretrained(source)
    return AutoTokenizer.from_pretrained(source)


def default_folder() -> Path:
    """Where the engine keeps its default model; the same place as in its ``cache_root``."""
    named = os.environ.get("SPECWATCH_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specwatch"
    return (Path(named).expanduser() if named else cache) / "models" / DEFAULT_MODEL
