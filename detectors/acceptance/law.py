"""Laws of accepted drafts per step: probabilities of 0, 1, … ``num_drafts`` accepted. Pure."""

from collections.abc import Sequence

Law = tuple[float, ...]

DAMAGED_NONE_ACCEPTED = 0.955
"""Share of steps without an accepted draft while a damaged cache is read: 0.94 to 0.985 on the
integrated engine, noise and empty layers, temperatures 0 to 1."""
LOOPING_ALL_ACCEPTED = 0.985
"""Share of steps with all drafts accepted within an exact loop."""
PUBLISHED_LOWEST = 0.4
"""Accepted drafts a step at the published lowest accept length of 1.4."""
LEAST = 1e-4
"""No count is impossible: a law may not rule out what was merely not seen."""


def pooled(requests: Sequence[Sequence[int]], num_drafts: int) -> Law:
    """Relative frequencies of accepted counts over all steps of all requests.

    Raises:
        ValueError: no step at all, or a count outside 0 to ``num_drafts``.
    """
    counts = [0] * (num_drafts + 1)
    for accepted in requests:
        for value in accepted:
            if not 0 <= value <= num_drafts:
                raise ValueError(f"{value} accepted drafts in a step with {num_drafts} drafts")
            counts[value] += 1
    total = sum(counts)
    if total == 0:
        raise ValueError("no verification step in any request")
    return _normalised([count / total for count in counts])


def with_none_accepted(law: Law, share: float) -> Law:
    """``law`` tilted by a power so that ``share`` of its steps accept nothing.

    Tilting keeps the likelihood ratio of two such laws monotone in the accepted count.
    """
    return _tilted_until(law, share, 0)


def with_all_accepted(law: Law, share: float) -> Law:
    """``law`` tilted so that ``share`` of its steps accept every draft."""
    return _tilted_until(law, share, len(law) - 1)


def geometric(num_drafts: int, mean_accepted: float) -> Law:
    """Each draft is accepted with the same probability, until the first that is not."""
    low, high = 0.0, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        law = _run_lengths(num_drafts, rate)
        if mean(law) < mean_accepted:
            low = rate
        else:
            high = rate
    return _normalised(_run_lengths(num_drafts, low))


def mean(law: Sequence[float]) -> float:
    """Accepted drafts a step."""
    return sum(count * share for count, share in enumerate(law))


def likelihood_ratios(alternative: Law, null: Law) -> list[tuple[float, ...]]:
    """Ratio tables by the number of drafts proposed: ``tables[drafted][accepted]``.

    A step that proposed fewer drafts than usual tells only that at least so many would have been
    accepted, so its last entry pools the rest. ``tables[0]`` is neutral.
    """
    tables = []
    for drafted in range(len(null)):
        above = sum(alternative[drafted:]), sum(null[drafted:])
        exact = [alternative[count] / null[count] for count in range(drafted)]
        tables.append((*exact, above[0] / above[1]))
    return tables


def _run_lengths(num_drafts: int, rate: float) -> list[float]:
    return [rate**count * (1 - rate) for count in range(num_drafts)] + [rate**num_drafts]


def _tilted_until(law: Law, share: float, place: int) -> Law:
    """Tilted so that the first or last entry is ``share``: one falls, the other rises with it."""
    low, high = -40.0, 40.0
    for _ in range(60):
        power = (low + high) / 2
        is_short = _tilted(law, power)[place] < share
        if is_short == (place > 0):
            low = power
        else:
            high = power
    return tuple(_tilted(law, (low + high) / 2))


def _tilted(law: Law, power: float) -> list[float]:
    weights = [share * 2.0 ** (power * count) for count, share in enumerate(law)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _normalised(values: Sequence[float]) -> Law:
    raised = [max(value, LEAST) for value in values]
    total = sum(raised)
    return tuple(value / total for value in raised)
