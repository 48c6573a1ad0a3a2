"""Counts words and character n-grams of healthy and damaged documents into weight tables."""

import sys
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from detectors.text.network import pack_network
from detectors.text.rows import FEATURES, LONG_BLOCK, SHORT_BLOCK, RowReader, fold, glance
from detectors.text.soup import QUICK_FEATURES
from detectors.text.tables import (
    ASCII_GRAMS,
    NEUTRAL,
    OTHER_GRAMS,
    WORD_SLOTS,
    Tables,
    weights_of_slots,
)
from monitor.training.documents import Document

KEPT_WORDS = 60_000
WORD_SCALE = 20  # weight bytes per nat
GRAM_SCALE = 20
LARGEST_WORD_WEIGHT = 120
LARGEST_GRAM_WEIGHT = 3.0  # nats
PROSE_WEIGHT = 3.0  # English prose against any one other group
GROUP_CHARACTERS = 100_000
NO_NETWORK = pack_network([], [], [], 0.0)

Floats = NDArray[np.float64]


def count_tables(healthy: Iterable[Document], damaged: Iterable[Document]) -> Tables:
    """Weights are log-ratios, damaged to healthy; the network of the result is empty."""
    words = [Counter[int](), Counter[int]()]
    ascii_counts = np.ones((2, ASCII_GRAMS))
    other_counts = np.ones((2, OTHER_GRAMS))
    for label, documents in enumerate((healthy, damaged)):
        texts: defaultdict[str, list[str]] = defaultdict(list)
        for one in documents:
            texts[one.group].append(one.text[one.onset_character or 0 :])
        for group, found in texts.items():
            weight = _group_weight(group, sum(map(len, found)))
            joined = "\n".join(found)
            words[label].update(
                map(zlib.crc32, fold(joined.encode("utf-8", "surrogatepass")).split())
            )
            ascii_part, other_part = _windows(joined)
            ascii_counts[label] += weight * np.bincount(ascii_part, minlength=ASCII_GRAMS)
            other_counts[label] += weight * np.bincount(other_part, minlength=OTHER_GRAMS)
    return Tables(
        words=weights_of_slots(_word_slots(*words)),
        ascii_grams=_gram_weights(ascii_counts),
        other_grams=_gram_weights(other_counts),
        quick=(0.0,) * len(QUICK_FEATURES),
        quick_bias=0.0,
        quick_limit=0.0,
        glance_limit=0,
        network=NO_NETWORK,
    )


def _group_weight(group: str, characters: int) -> float:
    """Large groups count less than their size, English prose and generations more."""
    weight: float = (GROUP_CHARACTERS / max(characters, GROUP_CHARACTERS // 5)) ** 0.4
    return weight * (PROSE_WEIGHT if group.startswith(("prose:", "gen:", "made:dense")) else 1.0)


def _windows(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slots of all windows: of 4 ASCII characters, and of 2 UTF-16 units not both ASCII."""
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16).astype(np.int64)
    is_ascii = units < 128
    four = is_ascii[:-3] & is_ascii[1:-2] & is_ascii[2:-1] & is_ascii[3:]
    grams = units[:-3] + (units[1:-2] << 8) + (units[2:-1] << 16) + (units[3:] << 24)
    pairs = units[:-1] + (units[1:] << 16)
    return grams[four] % ASCII_GRAMS, pairs % OTHER_GRAMS


def _gram_weights(counts: Floats) -> bytes:
    ratio = np.log(counts[1] / counts[1].sum()) - np.log(counts[0] / counts[0].sum())
    ratio = np.clip(ratio, -LARGEST_GRAM_WEIGHT, LARGEST_GRAM_WEIGHT)
    return bytes(np.round(ratio * GRAM_SCALE + NEUTRAL).astype(np.uint8))


def _word_slots(healthy: Counter[int], damaged: Counter[int]) -> "array[int]":
    slots = array("H", bytes(2 * WORD_SLOTS))
    healthy_total, damaged_total = healthy.total(), damaged.total()
    both = healthy + Counter({name: 3 * count for name, count in damaged.items()})
    for name, _ in reversed(both.most_common(KEPT_WORDS)):  # the frequent ones win a slot
        ratio = np.log((damaged[name] + 0.5) / damaged_total) - np.log(
            (healthy[name] + 0.5) / healthy_total
        )
        weight = int(np.clip(round(ratio * WORD_SCALE), -LARGEST_WORD_WEIGHT, LARGEST_WORD_WEIGHT))
        slots[name & (WORD_SLOTS - 1)] = (name >> 24) << 8 | (weight + NEUTRAL)
    return slots


def glances(documents: Iterable[Document], tables: Tables) -> list[int]:
    """Of the long blocks of plain ASCII from the onset on."""
    found = []
    for one in documents:
        text = one.text[one.onset_character or 0 :]
        for start in range(0, len(text) - LONG_BLOCK + 1, LONG_BLOCK):
            block = text[start : start + LONG_BLOCK]
            if block.isascii():
                found.append(glance(block, tables.ascii_grams))
    return found


def pack_tables(tables: Tables) -> bytes:
    """The packaged file."""
    slots = array("H", bytes(2 * WORD_SLOTS))
    for key, weight in tables.words.items():
        slots[key & (WORD_SLOTS - 1)] = (key >> 24) << 8 | weight
    if sys.byteorder == "big":
        slots.byteswap()
    return slots.tobytes() + tables.ascii_grams + tables.other_grams


def read_rows(text: str, tables: Tables, most: int) -> NDArray[np.uint8]:
    """Rows of the first ``most`` blocks, as the detector reads suspicious text."""
    reader = RowReader()
    blocks = min(len(text) // SHORT_BLOCK, most)
    rows = [
        reader.read(
            text[SHORT_BLOCK * index : SHORT_BLOCK * (index + 1)],
            tables.words,
            tables.ascii_grams,
            tables.other_grams,
        )[0]
        for index in range(blocks)
    ]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(blocks, len(FEATURES))
