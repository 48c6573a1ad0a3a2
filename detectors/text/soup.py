"""How much the end of a text reads like word soup. Knows characters, not tokens."""

from array import array
from operator import add

from detectors.text.rows import FEATURES, SHORT_BLOCK, RowReader, glance
from detectors.text.tables import NEUTRAL, load_tables

WINDOW_BLOCKS = 8  # short blocks: 256 characters
RECENT_BLOCKS = 4
EARLIER_SCALE = 16  # the network's inputs are whole numbers
SETTLED_BLOCKS = 32  # the mean of what was before forgets beyond it
QUICK_DECAY = 0.8  # per short block
CALM = -8.0  # log-odds before there is anything to look at
CALM_MARGIN = 1.0  # log-odds below the quick limit
FEW_LETTERS = 6  # different ones in a block: hexadecimal, DNA, keys of a cipher
ENCODED_LETTERS = 8  # letters in a block before that is asked
FOREIGN_SHARE = 0.75  # of the characters: no Latin letters to judge by
FOREIGN_DOUBT = 3.0  # log-odds: the tables know little of such scripts
FOREIGN_PAUSE = 4  # short blocks: the quick look knows too little to keep the network from asking
CENTRE = tuple(NEUTRAL if name.endswith("_weight") else 0 for name in FEATURES)
BASE_FEATURES = tuple(
    FEATURES.index(name)
    for name in (
        "unknown_words", "word_weight", "gram_weight", "symbols", "not_ascii", "recent_words",
    )
)  # fmt: skip

QUICK_FEATURES = (
    "unknown_words", "word_weight", "gram_weight", "symbols", "lower_then_upper", "recent_words",
)  # fmt: skip
TEACHING_BLOCKS = 8  # every so many, the oldest row joins the mean of what was before

TABLES = load_tables()
_UNKNOWN, _WORD, _GRAM, _SYMBOLS, _CASES, _RECENT = map(FEATURES.index, QUICK_FEATURES)
_WIDTH = len(FEATURES) + 1  # a remembered row: its length in short blocks, then its features
_WEIGHTS = tuple(index for index, centre in enumerate(CENTRE, start=1) if centre)
_LOWER, _UPPER = FEATURES.index("lower"), FEATURES.index("upper")
_NOT_ASCII = FEATURES.index("not_ascii")


class SoupScore:
    """Log-odds of soup after every block, from its last 256 characters and all before them.

    A quick linear look at every block; the network only where that is not clearly healthy.
    """

    __slots__ = ("_age", "_earlier", "_quick", "_reader", "_rows", "log_odds")

    def __init__(self) -> None:
        self._reader = RowReader()
        self._rows = b""
        self._earlier = array("f", bytes(4 * len(BASE_FEATURES)))
        self._age = 0  # short blocks
        self._quick = 0.0  # decayed mean of the quick look, without its bias
        self.log_odds = CALM

    @property
    def is_calm(self) -> bool:
        """Clearly healthy: blocks may be long, and some may be skipped."""
        return self._quick + TABLES.quick_bias < TABLES.quick_limit - CALM_MARGIN

    def may_skip(self, block: str) -> bool:
        """A glance at a long block of plain ASCII: it looks as healthy as all before it."""
        return glance(block, TABLES.ascii_grams) < TABLES.glance_limit

    def read(self, block: str) -> tuple[float, bytes, bytes]:
        """Takes the next block: the quick look's log-odds of it alone, its row, its classes."""
        row, classes = self._reader.read(
            block, TABLES.words, TABLES.ascii_grams, TABLES.other_grams
        )
        blocks = len(block) // SHORT_BLOCK
        self._age += blocks
        self._remember(row, blocks)
        quick = quick_look(row) / blocks
        decay = QUICK_DECAY if blocks == 1 else QUICK_DECAY * QUICK_DECAY
        self._quick = quick + (self._quick - quick) * decay
        seen = self._quick + TABLES.quick_bias
        if seen < TABLES.quick_limit:
            self.log_odds = max(min(seen, 0.0), CALM)
        elif self.log_odds > 0.0 or self._age % FOREIGN_PAUSE == 0 or not _is_foreign(row, block):
            self.log_odds = TABLES.network.log_odds(self._inputs()) - _doubt(row, block)
        return quick + TABLES.quick_bias, row, classes

    def _remember(self, row: bytes, blocks: int) -> None:
        rows = self._rows + bytes((blocks,)) + row
        excess = sum(rows[::_WIDTH]) - WINDOW_BLOCKS
        if excess >= rows[0]:
            if self._age % TEACHING_BLOCKS < blocks:
                self._forget(rows)
            while excess >= rows[0]:
                excess -= rows[0]
                rows = rows[_WIDTH:]
        self._rows = rows

    def _forget(self, rows: bytes) -> None:
        """The oldest row stands for all that left since the last one that did so."""
        earlier = self._earlier
        blocks = rows[0]
        before = max(self._age - WINDOW_BLOCKS, 1)
        weight = min(TEACHING_BLOCKS / min(before, SETTLED_BLOCKS), 1.0)
        for index, feature in enumerate(BASE_FEATURES):
            value = (rows[feature + 1] - CENTRE[feature]) / blocks
            earlier[index] += (value - earlier[index]) * weight

    def _inputs(self) -> list[int]:
        data = self._rows
        rows = [data[start : start + _WIDTH] for start in range(0, len(data), _WIDTH)]
        split = len(rows)
        blocks = 0
        while split > 0 and blocks < RECENT_BLOCKS:
            split -= 1
            blocks += rows[split][0]
        recent = _sums(rows[split:])
        whole = list(map(add, recent, _sums(rows[:split]))) if split else recent
        return [
            *whole,
            *recent,
            *[round(EARLIER_SCALE * value) for value in self._earlier],
            min(self._age, SETTLED_BLOCKS),
        ]


def quick_look(row: bytes) -> float:
    """A weighted sum of six features; without its bias, so that rows add up."""
    unknown, word, gram, symbols, cases, recent = TABLES.quick
    return (
        unknown * row[_UNKNOWN]
        + word * (row[_WORD] - NEUTRAL)
        + gram * (row[_GRAM] - NEUTRAL)
        + symbols * row[_SYMBOLS]
        + cases * row[_CASES]
        + recent * row[_RECENT]
    )


def _sums(rows: list[bytes]) -> list[int]:
    """Per feature, without the lengths of the rows."""
    count = len(rows)
    totals = list(map(sum, zip(*rows, strict=True)))
    for index in _WEIGHTS:
        totals[index] -= NEUTRAL * count
    return totals[1:]


def _is_foreign(row: bytes, block: str) -> bool:
    return row[_NOT_ASCII] >= FOREIGN_SHARE * len(block)


def _doubt(row: bytes, block: str) -> float:
    """Log-odds to take off where the text is of a kind that the network cannot judge."""
    if _is_foreign(row, block):
        return FOREIGN_DOUBT
    if row[_LOWER] + row[_UPPER] < ENCODED_LETTERS:
        return 0.0
    different = sum(map(str.isalpha, set(block.lower())))
    return -CALM if different <= FEW_LETTERS else 0.0
