"""Windows of a scored text: what the judge's opinion is formed of. Plain numbers, no model."""

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_TOKENS = 64
MIN_TOKENS = 16  # a shorter rest says too little to be a window of its own
RARE_RANK = 1000


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """One token of a text as a language model saw it.

    Attributes:
        surprisal: negative log-likelihood given all earlier tokens, nats.
        rank: how many tokens the model held for more likely.
        start: index of its first character in the text.
    """

    surprisal: float
    rank: int
    start: int


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbouring tokens of one text.

    Attributes:
        start: index of its first token.
        surprisal: mean negative log-likelihood per token, nats.
        median_rank, high_rank: median and 90th percentile of the ranks.
        rare_share: share of the tokens with a rank above 1000.
        ascii_share: share of the characters that are ASCII.
        characters_per_token: about 4 in prose, under 2 in encoded data.
    """

    start: int
    tokens: int
    surprisal: float
    median_rank: int
    high_rank: int
    rare_share: float
    ascii_share: float
    characters_per_token: float


def cut_windows(
    text: str, scored: Sequence[ScoredToken], *, first: int = 0, last: int | None = None
) -> list[Window]:
    """Cuts the tokens from ``first`` up to ``last`` (exclusive) into windows.

    A rest shorter than ``MIN_TOKENS`` is left out, so there may be none.
    """
    end = len(scored) if last is None else last
    return [
        make_window(text, scored, start, min(start + WINDOW_TOKENS, end))
        for start in range(first, end, WINDOW_TOKENS)
        if min(start + WINDOW_TOKENS, end) - start >= MIN_TOKENS
    ]


def make_window(text: str, scored: Sequence[ScoredToken], start: int, end: int) -> Window:
    """The numbers of tokens ``[start, end)``, at least one."""
    tokens = scored[start:end]
    count = len(tokens)
    ranks = sorted(token.rank for token in tokens)
    characters = text[tokens[0].start : scored[end].start if end < len(scored) else len(text)]
    return Window(
        start=start,
        tokens=count,
        surprisal=sum(token.surprisal for token in tokens) / count,
        median_rank=ranks[count // 2],
        high_rank=ranks[(9 * (count - 1)) // 10],
        rare_share=sum(rank > RARE_RANK for rank in ranks) / count,
        ascii_share=sum(map(str.isascii, characters)) / max(1, len(characters)),
        characters_per_token=len(characters) / count,
    )


def token_at(scored: Sequence[ScoredToken], character: int) -> int:
    """Index of the first token that starts at ``character`` or later."""
    return next((i for i, token in enumerate(scored) if token.start >= character), len(scored))
