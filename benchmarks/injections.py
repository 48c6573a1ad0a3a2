"""Sick streams made of healthy ones: soups and loops put into clean text, the place known.

The recipes are other ones than those that ``specwatch train`` learns from.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from monitor.offline.recording import Recording

LOOP_PERIODS = (1, 2, 3, 8, 24, 64, 180, 600, 2048)
"""Tokens; loops in real outputs have periods from one token to several hundred."""

SOUP_TOKENS = 192
LEAST_PREFIX_TOKENS = 24

Decode = Callable[[Sequence[int]], str]
Recipe = Callable[[list[int], random.Random], list[int]]


class Injector:
    """Puts damage into clean token sequences, and tells them as texts.

    Args:
        clean: token ids of healthy answers, the longest ones are used for the longest loops.
        ordinary: ids that decode to text by themselves, to draw soups from.
    """

    def __init__(
        self, clean: Sequence[Sequence[int]], ordinary: Sequence[int], decode: Decode, seed: int
    ) -> None:
        self._clean = [ids for ids in clean if len(ids) >= 2 * LEAST_PREFIX_TOKENS]
        self._ordinary = ordinary
        self._decode = decode
        self._seed = seed

    def recordings(self, per_kind: int) -> Iterator[Recording]:
        """``per_kind`` of every soup and every period."""
        recipes: dict[str, Recipe] = {
            "token soup": self._token_soup,
            "word salad": self._word_salad,
            "glued pieces": self._glued_pieces,
            "counting loop": self._counting_loop,
            **{f"loop of {period}": _Loop(period, self._clean) for period in LOOP_PERIODS},
        }
        for kind, recipe in recipes.items():
            for number in range(per_kind):
                choice = random.Random(f"{self._seed} {kind} {number}")
                yield self._recording(f"{kind} {number}", kind, recipe, choice)

    def _recording(self, name: str, kind: str, recipe: Recipe, choice: random.Random) -> Recording:
        ids = list(choice.choice(self._clean))
        prefix = ids[: choice.randrange(LEAST_PREFIX_TOKENS, len(ids))]
        before = self._decode(prefix)
        after = self._decode(recipe(prefix, choice))
        return Recording(
            id=name, text=before + after, label=kind, onset_char=len(before), file="injected"
        )

    def _token_soup(self, _: list[int], choice: random.Random) -> list[int]:
        """Any tokens of the vocabulary."""
        return choice.choices(self._ordinary, k=SOUP_TOKENS)

    def _word_salad(self, _: list[int], choice: random.Random) -> list[int]:
        """The tokens of another healthy answer, shuffled."""
        other = list(choice.choice(self._clean))
        return choice.choices(other, k=SOUP_TOKENS)

    def _glued_pieces(self, _: list[int], choice: random.Random) -> list[int]:
        """Runs of three tokens from everywhere in the healthy answers."""
        found: list[int] = []
        while len(found) < SOUP_TOKENS:
            other = choice.choice(self._clean)
            start = choice.randrange(len(other))
            found += other[start : start + 3]
        return found

    def _counting_loop(self, prefix: list[int], choice: random.Random) -> list[int]:
        """A phrase again and again, one of its tokens another one each time."""
        phrase = prefix[-choice.randrange(10, 25) :]
        changing = choice.randrange(len(phrase))
        found: list[int] = []
        while len(found) < 512:
            phrase[changing] = choice.choice(self._ordinary)
            found += phrase
        return found


class _Loop:
    """The last tokens again and again, from the second copy on."""

    def __init__(self, period: int, clean: Sequence[Sequence[int]]) -> None:
        self._period = period
        self._clean = clean

    def __call__(self, prefix: list[int], choice: random.Random) -> list[int]:
        unit = prefix[-self._period :]
        while len(unit) < self._period:
            unit = unit + list(choice.choice(self._clean))
        unit = unit[: self._period]
        copies = max(4, -(-256 // self._period))
        return unit * copies
