"""Learned baselines by model and engine, and the file they stand in. The packaged one is for the
integrated engine's default model."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Self

from detectors.acceptance.baseline import AcceptanceBaseline

ByDrafts = Mapping[int, AcceptanceBaseline]
"""Baselines of one model and engine by the most drafts of a step."""

NO_BASELINES: ByDrafts = MappingProxyType({})


_Place = tuple[int, float]
"""Most drafts of a step, and the highest temperature, infinite for all."""


class BaselineLibrary:
    """All baselines that are known. A name is compared without regard to case.

    A baseline without an engine serves every engine. Of those that cover a request's temperature
    the coolest serves it; a request that names none may be of any.
    """

    def __init__(self, baselines: Iterable[AcceptanceBaseline] = ()) -> None:
        self._found: dict[tuple[str, str], dict[_Place, AcceptanceBaseline]] = {}
        for baseline in baselines:
            key = baseline.model.lower(), baseline.engine.lower()
            self._found.setdefault(key, {})[_place(baseline)] = baseline

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def __iter__(self) -> Iterator[AcceptanceBaseline]:
        return (each for found in self._found.values() for each in found.values())

    def find(
        self, model: str | None, engine: str | None = None, temperature: float | None = None
    ) -> ByDrafts:
        """Those of a model on an engine at a temperature; empty if there is none."""
        if model is None:
            return {}
        at_most = math.inf if temperature is None else temperature
        of_any = self._found.get((model.lower(), ""), {})
        of_engine = self._found.get((model.lower(), (engine or "").lower()), {})
        return {**_serving(of_any, at_most), **_serving(of_engine, at_most)}

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


def _place(baseline: AcceptanceBaseline) -> _Place:
    limit = baseline.max_temperature
    return baseline.num_drafts, math.inf if limit is None else limit


def _serving(found: Mapping[_Place, AcceptanceBaseline], temperature: float) -> ByDrafts:
    """For each width the coolest that covers the temperature."""
    hottest_first = sorted(found, key=lambda place: place[1], reverse=True)
    return {width: found[width, limit] for width, limit in hottest_first if limit >= temperature}


@cache
def packaged_baselines() -> BaselineLibrary:
    """The ones that come with specwatch."""
    text = resources.files("detectors.acceptance").joinpath("baselines.json").read_text("utf-8")
    return BaselineLibrary.from_dict(json.loads(text))


def choose(by_drafts: ByDrafts, drafted: int | None) -> AcceptanceBaseline | None:
    """The narrowest that allows for so many drafts in a step; ``None`` if none does."""
    widths = [width for width in by_drafts if drafted is None or width >= drafted]
    return by_drafts[min(widths)] if widths else None
