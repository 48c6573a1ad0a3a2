"""How much repetition is too much. Numbers only; knows no stream.

All lengths are in symbols and counted from the start of the second copy.
"""

from typing import Final

from detectors.repetition.content import Content

# An exact loop of prose is to be found 64 tokens and 1.5 periods after its first copy began; up to
# 7 symbols go to blocks and chunks.
_EXACT_BASE: Final = 54.0
_EXACT_PER_PERIOD: Final = 0.5
# Text has up to 15 % fewer symbols than tokens, and waits for the end of a word.
_TEXT_BASE: Final = 45.0
_TEXT_PER_PERIOD: Final = 0.48
# Honest answers write code again with a change at the end, and start over from their first word:
# longer periods than this need most of a third copy there.
_LONG_PERIOD: Final = 48
_LONG_PER_PERIOD: Final = 0.95
_FROM_START: Final = 4  # symbols before the first copy
_VISUAL_FACTOR: Final = 7.0  # grids, ASCII art, address patterns
_VISUAL_PERIOD_MIN: Final = {Content.DATA: 9, Content.DRAWING: 4}
_RULER_FACTOR: Final = 4.0  # shorter ones: a ruler across a page or a frame has up to 160 signs

_NEAR_BASE: Final = 160.0
_NEAR_PER_PERIOD: Final = 2.0
_NEAR_PERIOD_MIN: Final = 3  # of two symbols one that changes is half
_NEAR_FACTOR: Final = {
    Content.PROSE: 1.0,
    Content.CODE: 2.0,
    Content.DATA: 4.0,
    Content.DRAWING: 6.0,
    Content.NUMBERING: 0.5,
}
_NEAR_EXACT_EXTRA: Final = 24.0
_CHANGE_COST: Final = 8
_CHANGE_COST_OUTSIDE_PROSE: Final = 16


def needed_exact(period: int, content: Content, before: int, *, is_text: bool) -> float:
    """Matched symbols at which an exact repeat is an alarm.

    Args:
        period: in symbols.
        content: of the repeated stretch.
        before: symbols before the first copy.
        is_text: symbols were cut from text; else they are tokens.
    """
    if is_text:
        needed = _TEXT_BASE + _TEXT_PER_PERIOD * period
    else:
        needed = _EXACT_BASE + _EXACT_PER_PERIOD * period
    if content is not Content.PROSE or before < _FROM_START:
        needed += _LONG_PER_PERIOD * max(0, period - _LONG_PERIOD)
    if period >= _VISUAL_PERIOD_MIN.get(content, period + 1):
        needed *= _VISUAL_FACTOR
    elif content is Content.DRAWING:
        needed *= _RULER_FACTOR
    return needed


def allowed_changes(period: int, content: Content) -> float:
    """Changed symbols of one copy that a near-repeat may have.

    A counter changes 1.1 digits a copy, two counters 2.2; of short copies more than a third must
    stay, or every column of numbers is a loop.
    """
    if period < _NEAR_PERIOD_MIN:
        return 0.0
    most = 0.4 * period
    if content is Content.NUMBERING:
        return min(most, 2.0)
    allowed = min(max(2.7, 0.075 * period), max(1.2, 0.25 * period), most)
    return allowed if content is Content.PROSE else min(allowed, 1.6)


def near_evidence(span: int, changed: int, period: int, content: Content) -> float:
    """Evidence of a repeat with changes; 1 is an alarm.

    Either few changes of any length (a word in a long loop), each worth some matched symbols, or a
    long span with few changes in each copy (a counter).
    """
    cost = _CHANGE_COST if content is Content.PROSE else _CHANGE_COST_OUTSIDE_PROSE
    needed = needed_exact(period, content, 0, is_text=False) + _NEAR_EXACT_EXTRA
    evidence = (span - cost * changed) / needed
    if changed * period <= allowed_changes(period, content) * span:
        length = _NEAR_BASE + _NEAR_PER_PERIOD * max(0, period - _LONG_PERIOD)
        evidence = max(evidence, span / (length * _NEAR_FACTOR[content]))
    return evidence
