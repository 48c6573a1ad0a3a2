"""Streams to show to a detector."""

import random
from collections.abc import Iterable, Iterator, Sequence

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.panel import Panel
from detectors.verdict import Verdict

PROSE = (
    "The harbour lies at the mouth of the river, where the old road from the hills comes down to "
    "the sea. In the morning the boats go out before the light, and by noon most of them are back "
    "with what they caught. The women of the town buy the fish on the quay and carry it up the "
    "steps to the market; what is left goes to the smoke house behind the church. My grandfather "
    "used to say that you could tell the weather of the next day by the sound of the bell, but he "
    "said many things, and not all of them were true. When I was nine years old he took me out for "
    "the first time. We sailed along the coast until we saw the white cliffs, and there we let "
    "down the nets. I remember that it was cold, that he gave me his coat, and that neither of us "
    "spoke for a long while. Later, on the way home, he asked me what I wanted to be, and I told "
    "him that I would build bridges. He laughed and said that a bridge was only a boat that had "
    "grown tired of moving."
)

CODE = '''def merge(left: list[int], right: list[int]) -> list[int]:
    """Both lists are sorted; so is what comes back."""
    merged = []
    first = second = 0
    while first < len(left) and second < len(right):
        if left[first] <= right[second]:
            merged.append(left[first])
            first += 1
        else:
            merged.append(right[second])
            second += 1
    return merged + left[first:] + right[second:]


class Account:
    def __init__(self, owner: str, balance: float = 0.0) -> None:
        self.owner = owner
        self.balance = balance

    def withdraw(self, amount: float) -> None:
        if amount > self.balance:
            raise ValueError(f"{self.owner} has only {self.balance:.2f}")
        self.balance -= amount
'''


_PIECES = """
asaml iferal wast age ity MEs spage big te ITst raglit hum p.length rystal ball iosyn crat fuel ivat
Psycho philyus heretof Danish fired inger Luod omod nov amber Mariju lov ing Lefty shipam entam gov
quoti zbek HERE umn ibles .as - ( ' "); :: }; Љ жд 的 ção ière Gothe valu Searchaid osa en hy tegr
œur connect heren periodal header cas ENDeper CONT
"""


def soup(words: int, seed: int = 1) -> str:
    """What comes out of a damaged cache: pieces of words, signs and scripts that never meet."""
    source = random.Random(seed)
    pieces = _PIECES.split()
    return "".join(source.choice(("", " ", " ", "-")) + source.choice(pieces) for _ in range(words))


def stream(
    text: str, accepted: Sequence[int] = (1, 2, 0, 1), *, drafted: int = 3, ids: bool = False
) -> Iterator[Observation]:
    """The text in steps of so many accepted drafts, in turn, with four characters a token."""
    yield Observation(text=text[:4], new_tokens=1, steps=0, token_ids=(1,) if ids else None)
    start, step = 4, 0
    while start < len(text):
        count = accepted[step % len(accepted)]
        end = start + 4 * (count + 1)
        chunk = text[start:end]
        yield Observation(
            text=chunk,
            new_tokens=count + 1,
            token_ids=tuple(sum(chunk[at : at + 4].encode()) for at in range(0, 4 * (count + 1), 4))
            if ids
            else None,
            steps=1,
            drafted=drafted,
            accepted=count,
        )
        start, step = end, step + 1


def show(detector: Detector, observations: Iterable[Observation]) -> list[Verdict | None]:
    """Every observation in turn, with the tokens counted as the panel does."""
    tokens = 0
    found = []
    for observation in observations:
        tokens += observation.new_tokens or 0
        found.append(detector.update(observation, tokens))
    return found


def first_verdict(panel: Panel, observations: Iterable[Observation]) -> Verdict | None:
    """The stream ends with it."""
    for observation in observations:
        verdict = panel.update(observation)
        if verdict is not None:
            return verdict
    return None
