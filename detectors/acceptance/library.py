"""Learned baselines by model and engine, and the file they stand in. The packaged one is for the
integrated engine's default model."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Self

from detectors.acceptance.baseline import AcceptanceBaseline

ByDrafts = Mapping[int, AcceptanceBaseline]
"""Baselines of one model and engine by the most drafts of a step."""

NO_BASELINES: ByDrafts = MappingProxyType({})


class BaselineLibrary:
    """All baselines that are known. A name is compared without regard to case.

    A baseline without an engine serves every engine.
    """

    def __init__(self, baselines: Iterable[AcceptanceBaseline] = ()) -> None:
        self._found: dict[tuple[str, str], dict[int, AcceptanceBaseline]] = {}
        for baseline in baselines:
            key = baseline.model.lower(), baseline.engine.lower()
            self._found.setdefault(key, {})[baseline.num_drafts] = baseline

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def __iter__(self) -> Iterator[AcceptanceBaseline]:
        return (each for by_drafts in self._found.values() for each in by_drafts.values())

    def find(self, model: str | None, engine: str | None = None) -> ByDrafts:
        """Those of a model on an engine; empty if there is none."""
        if model is None:
            return {}
        exact = self._found.get((model.lower(), (engine or "").lower()), {})
        return {**self._found.get((model.lower(), ""), {}), **exact}

    def to_dict(self) -> dict[str, Any]:
        return {"baselines": [baseline.to_dict() for baseline in self]}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Reads what ``to_dict`` gave.

        Raises:
            ValueError: not such a thing; says what is wrong.
        """
        found = values.get("baselines") if isinstance(values, dict) else None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise ValueError('a file of baselines holds {"baselines": [...]}')
        return cls(AcceptanceBaseline.from_dict(each) for each in found)


@cache
def packaged_baselines() -> BaselineLibrary:
    """The ones that come with specwatch."""
    text = resources.files("detectors.acceptance").joinpath("baselines.json").read_text("utf-8")
    return BaselineLibrary.from_dict(json.loads(text))


def choose(by_drafts: ByDrafts, drafted: int | None) -> AcceptanceBaseline | None:
    """The narrowest that allows for so many drafts in a step; ``None`` if none does."""
    widths = [width for width in by_drafts if drafted is None or width >= drafted]
    return by_drafts[min(widths)] if widths else None
