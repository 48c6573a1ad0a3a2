"""The cells of an ablation. Pure."""

import enum
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.ablation.errors import BadGrid

_RATIO = re.compile(r"([1-9]\d?):([1-9]\d?)")
_LOAD = re.compile(r"([a-z][a-z0-9-]{0,30})=(\d+(?:\.\d+)?)(?:x(\d+(?:\.\d+)?))?")


class AbortProtocol(enum.StrEnum):
    """When the decode side uses the pages of a given-up request again."""

    UNSAFE = "unsafe"  # at once, as engines shipped it
    CONFIRM = "confirm"  # when the prefill says that it has stopped writing


class LoadSync(enum.StrEnum):
    """What a layer waits for when a prefix comes back from host memory."""

    KV_ONLY = "kv-only"  # not for the indexer's cache, as engines shipped it
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Prefill and decode replicas."""

    prefills: int
    decodes: int

    def __str__(self) -> str:
        return f"{self.prefills}:{self.decodes}"


@dataclass(frozen=True, slots=True)
class Load:
    """How fast requests come.

    Attributes:
        rate: requests a second, in the mean.
        burst: how much higher the rate is an eighth of the time.
    """

    name: str
    rate: float
    burst: float = 1.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One fleet under one load."""

    protocol: AbortProtocol
    sync: LoadSync
    ratio: Ratio
    load: Load

    def __str__(self) -> str:
        return f"{self.protocol}, {self.sync}, {self.ratio}, {self.load.name}"


def parse_ratio(text: str) -> Ratio:
    """``2:1``: two prefill replicas, one decode replica.

    Raises:
        BadGrid: it is written otherwise.
    """
    found = _RATIO.fullmatch(text)
    if found is None:
        raise BadGrid(f"--ratio {text}: must be PREFILLS:DECODES, each 1 to 99, as in 2:1")
    return Ratio(int(found[1]), int(found[2]))


def parse_load(text: str) -> Load:
    """``heavy=3x2.5``: three requests a second, in bursts 2.5 times the other rate.

    Raises:
        BadGrid: it is written otherwise.
    """
    found = _LOAD.fullmatch(text)
    rate, burst = (0.0, 1.0) if found is None else (float(found[2]), float(found[3] or 1.0))
    if found is None or rate <= 0 or burst < 1:
        raise BadGrid(
            f"--load {text}: must be NAME=RATE or NAME=RATExBURST, requests a second and how many "
            "times more of them in bursts (at least 1), as in heavy=3x2.5"
        )
    return Load(found[1], rate, burst)


def build_grid(
    protocols: Sequence[AbortProtocol],
    syncs: Sequence[LoadSync],
    ratios: Sequence[Ratio],
    loads: Sequence[Load],
) -> list[Cell]:
    """Every combination once; the loads of a fleet follow one another.

    Raises:
        BadGrid: two loads have one name: nobody could tell them apart.
    """
    if len({load.name for load in dict.fromkeys(loads)}) < len(dict.fromkeys(loads)):
        raise BadGrid("--load: two loads have the same name")
    fleets = itertools.product(ratios, protocols, syncs, loads)
    cells = (Cell(protocol, sync, ratio, load) for ratio, protocol, sync, load in fleets)
    return list(dict.fromkeys(cells))
