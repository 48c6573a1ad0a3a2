"""Greedy answers of transformers, to compare the engine's with. Slow to make, so they are kept."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.loading import Subject

Tokens = Sequence[int]


class References:
    """Answers of transformers, computed once and kept in a temporary folder."""

    def __init__(self, subject: Subject, tokens: int) -> None:
        self._subject, self._tokens = subject, tokens
        self._model: Any = None
        self._folder = Path(tempfile.gettempdir()) / "specwatch-parity"
        self._folder.mkdir(exist_ok=True)

    def answer(self, prompt: Tokens) -> list[int]:
        file = self._folder / f"{self._key(prompt)}.json"
        if file.exists():
            known: list[int] = json.loads(file.read_text())
            return known
        ids = torch.tensor([list(prompt)], device=self._subject.device)
        with torch.inference_mode():
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=self._tokens,
            )
        found: list[int] = out[0, len(prompt) :].tolist()
        file.write_text(json.dumps(found))
        return found

    def margin(self, prefix: Tokens, first: int, second: int) -> float:
        """Difference of the logits of two tokens after ``prefix``."""
        with torch.inference_mode():
            logits = self.model(torch.tensor([list(prefix)], device=self._subject.device)).logits
        return abs(float(logits[0, -1, first]) - float(logits[0, -1, second]))

    @property
    def model(self) -> Any:
        if self._model is None:
            self._model = self._subject.reference()
        return self._model

    def _key(self, prompt: Tokens) -> str:
        subject = self._subject
        parts = [subject.folder.name, subject.device, version("transformers"), self._tokens]
        return hashlib.sha256(repr((parts, list(prompt))).encode()).hexdigest()[:32]
