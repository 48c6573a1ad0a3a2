"""Labelled documents for the text model: healthy ones, and ones that turn bad at a known place."""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from monitor.training.corpus import Piece
from monitor.training.made_text import dense_prose, made_texts, sampler
from monitor.training.soup import SoupKitchen

SOUPS_PER_RECIPE = 400
MADE_PER_KIND = 100
DENSE_TEXTS = 4000
SAMPLERS = 300
LONGEST_HEALTHY_START = 1400
DAMAGES = ("noise", "zero_layers")
_PROSE = ("prose:", "gen:0.0", "gen:0.7")
_STARTS = ("prose:", "lang:", "code:", "gen:")


@dataclass(frozen=True, slots=True)
class Document:
    """A text and where it turns bad.

    Attributes:
        group: kind of text, or of damage.
        onset_character: index of the first damaged character, ``None`` for a healthy text.
    """

    group: str
    text: str
    onset_character: int | None = None


class Recordings:
    """Generations of the integrated engine (``benchmarks.generations``), decoded."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self._folder = folder
        self._tokenizer = Tokenizer.from_file(str(tokenizer))

    def _records(self, name: str, split: str) -> Iterator[dict[str, Any]]:
        with gzip.open(self._folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if record["split"] == split:
                    yield record

    def healthy(self, split: str) -> Iterator[Document]:
        for record in self._records("none", split):
            text = self._tokenizer.decode(record["token_ids"])
            yield Document(f"gen:{record['temperature']}", text)

    def damaged(self, split: str) -> Iterator[Document]:
        for name in DAMAGES:
            for record in self._records(name, split):
                onset = record["onset_token"]
                if onset is not None:
                    before = self._tokenizer.decode(record["token_ids"][:onset])
                    after = self._tokenizer.decode(record["token_ids"][onset:])
                    group = f"{name}:{record['temperature']}"
                    yield Document(group, before + after, len(before))

    def token_soups(self, count: int, seed: int) -> Iterator[Document]:
        """Tokens drawn one by one: uniformly, and by their frequency to several powers."""
        choice = random.Random(seed)
        uses: defaultdict[int, int] = defaultdict(int)
        for record in self._records("none", "train"):
            for token in record["token_ids"]:
                uses[token] += 1
        tokens = sorted(uses)
        for power in (0.4, 0.75, 1.0):
            weights = [uses[token] ** power for token in tokens]
            for _ in range(count):
                drawn = choice.choices(tokens, weights, k=220)
                yield Document(f"tokens:{power}", self._tokenizer.decode(drawn), 0)
        size = self._tokenizer.get_vocab_size()
        for _ in range(count):
            drawn = [choice.randrange(20, size) for _ in range(220)]
            yield Document("tokens:uniform", self._tokenizer.decode(drawn), 0)


def healthy_documents(
    pieces: Iterable[Piece], recordings: Recordings | None, split: str, seed: int
) -> Iterator[Document]:
    """Corpus, generations, made texts, and prose made dense."""
    choice = random.Random(seed)
    found = [Document(one.group, one.text) for one in pieces if one.is_test == (split == "test")]
    if recordings is not None:
        found += recordings.healthy(split)
    yield from found
    yield from (Document(group, text) for group, text in made_texts(MADE_PER_KIND, seed))
    prose = [one.text for one in found if one.group.startswith(_PROSE)]
    foreign = [one.text for one in found if one.group.startswith("lang:")]
    for _ in range(SAMPLERS):
        yield Document("made:sampler", sampler(foreign, choice))
    for text in choice.sample(prose, min(len(prose), DENSE_TEXTS)):
        yield Document("made:dense", dense_prose(text, choice))


def damaged_documents(
    healthy: Sequence[Document], recordings: Recordings | None, split: str, seed: int
) -> Iterator[Document]:
    """Real damage, and cooked soups: three in five after a healthy start."""
    choice = random.Random(seed)
    stocks: defaultdict[str, list[str]] = defaultdict(list)
    for one in healthy:
        if one.group.startswith(_STARTS):
            stocks[one.group].append(one.text)
    soups = list(_cooked(stocks, seed))
    if recordings is not None:
        yield from recordings.damaged(split)
        soups += recordings.token_soups(SOUPS_PER_RECIPE, seed)
    prose = [name for name in stocks if name.startswith(_PROSE)]
    for soup in soups:
        if choice.random() < 0.4:
            yield soup
            continue
        groups = prose if choice.random() < 0.6 else list(stocks)
        start = choice.choice(stocks[choice.choice(groups)])
        start = start[: choice.randrange(64, LONGEST_HEALTHY_START)]
        yield Document(soup.group, start + soup.text, len(start))


def _cooked(stocks: dict[str, list[str]], seed: int) -> Iterator[Document]:
    kitchen = SoupKitchen(
        {name: texts for name, texts in stocks.items() if not name.startswith("gen:")}, seed
    )
    for name, recipe in kitchen.recipes.items():
        for _ in range(SOUPS_PER_RECIPE):
            yield Document(name, recipe(), 0)
