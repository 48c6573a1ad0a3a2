"""From windows of a scored text to a second opinion. Decides without a model and without I/O."""

import enum
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from monitor.judge.window import MIN_TOKENS, ScoredToken, Window, cut_windows, token_at


class Opinion(enum.StrEnum):
    """What the judge holds of a text."""

    SICK = "sick"
    FINE = "fine"
    UNSURE = "unsure"  # the small model cannot know


class SecondOpinion(msgspec.Struct, frozen=True, kw_only=True):
    """The judge's finding: numbers and words about them, never a word of the text.

    Attributes:
        tokens: of the judge's own tokenizer, in the part that was judged.
        perplexity: of that part.
        worst_perplexity: of its worst window of 64 tokens; the next three are that window's.
    """

    opinion: Opinion
    reason: str
    tokens: int
    perplexity: float | None = None
    worst_perplexity: float | None = None
    median_rank: int | None = None
    high_rank: int | None = None
    rare_share: float | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Lines between the opinions; surprisals are means over a window, in nats per token.

    The two surprisal lines come from generations of SmolLM2-135M-Instruct on the calibration
    prompts, judged by the same model (``monitor.judge.calibrate``): in the worst window of 150
    healthy ones it was at most 6.4, in that of 150 damaged ones above 6.9 in 99 of 100, at
    temperatures 0, 0.7 and 1. The others are set by what the lines mean. How often all of them are
    wrong on the test prompts is in ``MEASURED``. Another judge needs another run.

    Attributes:
        fine_surprisal: a text without a window above it, and without a loop, is fine.
        sick_surprisal: a window above it is garbled if an earlier one was ``contrast`` calmer ...
        flat_sick_surprisal: ... or, where the whole text is as surprising, above this line and
            readable. A language, an encoding or a format that the model does not know is surprising
            as well, but from its first to its last word, and is learnt from its own beginning.
        readable_ascii, readable_characters: share of ASCII and characters per token, from which on
            a window is readable: words in Latin letters, no encoded data.
        loop_surprisal: two windows in a row below it are a loop ...
        boilerplate_surprisal: ... and one below this may be a loop or honest boilerplate: unsure.
        repetitive_share: a text that zlib makes smaller than this share of its bytes repeats
            itself: unsure at best. A loop is calm long before its perplexity is near 1.
    """

    fine_surprisal: float = 5.0
    sick_surprisal: float = 7.0
    flat_sick_surprisal: float = 8.0
    contrast: float = 2.5
    readable_ascii: float = 0.8
    readable_characters: float = 2.5
    loop_surprisal: float = 0.03
    boilerplate_surprisal: float = 0.15
    repetitive_share: float = 0.25


# Wrong opinions of the default judge on the test split, and of how many texts: unknown kinds of
# text come on top. Text that is fluent and belongs to another request is beyond any judge that
# does not see the prompt. From ``python -m monitor.judge.calibrate FOLDER --per-fault 12``.
MEASURED: Mapping[str, tuple[int, int]] = {
    "healthy_held_for_garbled": (0, 36),
    "damaged_held_for_fine": (0, 72),
    "another_request_s_text_held_for_fine": (18, 36),
}


def judge_text(
    text: str,
    scored: Sequence[ScoredToken],
    *,
    onset_character: int | None = None,
    thresholds: Thresholds | None = None,
) -> SecondOpinion:
    """The opinion on a text, or on what follows ``onset_character``; what stands before it counts
    for comparison only.
    """
    onset = 0 if onset_character is None else token_at(scored, onset_character)
    judged = cut_windows(text, scored, first=onset)
    if not judged:
        reason = f"only {len(scored) - onset} tokens to judge, {MIN_TOKENS} are needed"
        return SecondOpinion(opinion=Opinion.UNSURE, reason=reason, tokens=len(scored) - onset)
    earlier = cut_windows(text, scored, last=onset)
    lines = thresholds or Thresholds()
    opinion, reason = form_opinion(earlier, judged, lines)
    share = compressed_share(text[scored[onset].start :])
    if opinion is Opinion.FINE and share < lines.repetitive_share:
        opinion = Opinion.UNSURE
        reason = (
            f"the text repeats itself (zlib leaves {share:.0%} of it): a loop, or an honest list"
        )
    worst = max(judged, key=_surprisal)
    tokens = sum(window.tokens for window in judged)
    mean = sum(window.surprisal * window.tokens for window in judged) / tokens
    return SecondOpinion(
        opinion=opinion,
        reason=reason,
        tokens=tokens,
        perplexity=perplexity(mean),
        worst_perplexity=perplexity(worst.surprisal),
        median_rank=worst.median_rank,
        high_rank=worst.high_rank,
        rare_share=worst.rare_share,
    )


def form_opinion(
    earlier: Sequence[Window], judged: Sequence[Window], thresholds: Thresholds
) -> tuple[Opinion, str]:
    """The opinion and its reason.

    Args:
        earlier: windows before the part that is judged; may be empty.
        judged: at least one, in order.
    """
    for number, window in enumerate(judged):
        calmest = min(map(_surprisal, (*earlier, *judged[:number])), default=None)
        if is_garbled(window, calmest, thresholds):
            return Opinion.SICK, _garbled_reason(window, calmest)
    for first, second in pairwise(judged):
        if max(first.surprisal, second.surprisal) < thresholds.loop_surprisal:
            return Opinion.SICK, (
                f"from token {first.start} on each token follows from those before it: "
                f"perplexity {perplexity(second.surprisal):.3f}"
            )
    worst, calm = max(judged, key=_surprisal), min(judged, key=_surprisal)
    if worst.surprisal > thresholds.fine_surprisal:
        return Opinion.UNSURE, (
            f"perplexity {perplexity(worst.surprisal):.0f} at token {worst.start}: damage, or what "
            f"the small model does not know"
        )
    if calm.surprisal < thresholds.boilerplate_surprisal:
        return Opinion.UNSURE, (
            f"perplexity {perplexity(calm.surprisal):.2f} at token {calm.start}: a loop, or honest "
            f"boilerplate"
        )
    return Opinion.FINE, f"perplexity at most {perplexity(worst.surprisal):.1f} in every window"


def is_garbled(window: Window, calmest: float | None, thresholds: Thresholds) -> bool:
    """Whether no text that a model could know looks like ``window``.

    Args:
        calmest: lowest surprisal of an earlier window, nats; ``None`` if there is none.
    """
    if calmest is not None and window.surprisal - calmest >= thresholds.contrast:
        return window.surprisal >= thresholds.sick_surprisal
    is_readable = (
        window.ascii_share >= thresholds.readable_ascii
        and window.characters_per_token >= thresholds.readable_characters
    )
    return is_readable and window.surprisal >= thresholds.flat_sick_surprisal


def compressed_share(text: str) -> float:
    """What zlib leaves of the text's bytes; about 0.5 in prose."""
    data = text.encode(errors="replace")
    return len(zlib.compress(data)) / max(1, len(data))


def perplexity(surprisal: float) -> float:
    """Of a mean surprisal in nats per token."""
    return math.exp(min(surprisal, 50.0))


def _garbled_reason(window: Window, calmest: float | None) -> str:
    before = "" if calmest is None else f", {perplexity(calmest):.1f} at the calmest place before"
    return (
        f"perplexity {perplexity(window.surprisal):.0f} at token {window.start}{before}; "
        f"half of the tokens there were not among the model's first {window.median_rank}"
    )


def _surprisal(window: Window) -> float:
    return window.surprisal
