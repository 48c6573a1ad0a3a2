"""The packaged weights of the text model, loaded once. Made by ``monitor.training.text_model``."""

import json
import sys
from array import array
from dataclasses import dataclass
from importlib import resources

from detectors.text.network import Network, pack_network

WORD_SLOTS = 1 << 16
WORD_KEY = 0xFF00FFFF  # of a word's CRC-32: what is kept, a mark above the slot
ASCII_GRAMS = 129_733  # a prime: 4 characters as one 32-bit number are spread by the remainder
OTHER_GRAMS = 32_369  # the same for 2 UTF-16 units
NEUTRAL = 128  # weight byte of an n-gram that says nothing


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything learned.

    Attributes:
        words: weight (1 to 255, 128 is neutral) by the kept bits of a word's CRC-32.
        ascii_grams: weight byte of 4 successive ASCII characters.
        other_grams: weight byte of 2 successive UTF-16 units.
        quick: a linear look at some features of a row, in log-odds per block; the network is asked
            only where its decayed mean plus ``quick_bias`` is above ``quick_limit``.
        glance_limit: sum of ``glance`` above which a block may not be skipped.
        network: the second look.
    """

    words: dict[int, int]
    ascii_grams: bytes
    other_grams: bytes
    quick: tuple[float, ...]
    quick_bias: float
    quick_limit: float
    glance_limit: int
    network: Network


def weights_of_slots(slots: "array[int]") -> dict[int, int]:
    return {(slot >> 8) << 24 | index: slot & 255 for index, slot in enumerate(slots) if slot}


def parse_tables(data: bytes, settings: str) -> Tables:
    """Reads the two packaged files."""
    words = array("H")  # by slot: the mark (high byte) and the weight
    words.frombytes(data[: 2 * WORD_SLOTS])
    if sys.byteorder == "big":
        words.byteswap()
    grams = data[2 * WORD_SLOTS :]
    learned = json.loads(settings)
    network = learned["network"]
    return Tables(
        words=weights_of_slots(words),
        ascii_grams=grams[:ASCII_GRAMS],
        other_grams=grams[ASCII_GRAMS : ASCII_GRAMS + OTHER_GRAMS],
        quick=tuple(learned["quick"]),
        quick_bias=learned["quick_bias"],
        quick_limit=learned["quick_limit"],
        glance_limit=learned["glance_limit"],
        network=pack_network(
            network["hidden"], network["hidden_bias"], network["output"], network["output_bias"]
        ),
    )


def load_tables() -> Tables:
    folder = resources.files("detectors.text") / "weights"
    return parse_tables(
        (folder / "tables.bin").read_bytes(), (folder / "network.json").read_text(encoding="utf-8")
    )
