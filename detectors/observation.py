"""What the proxy learned from one chunk of a stream. Knows no engine and no wire format."""

from dataclasses import dataclass


@dataclass(slots=True)
class Observation:
    """One chunk of one attempt, in the engine's order.

    Every number counts what is new since the previous observation of the same attempt.
    ``None`` means that the engine did not say, never zero.

    Attributes:
        text: new text, ``""`` if the chunk carried none.
        new_tokens: tokens generated since the previous observation.
        estimated_tokens: the same by an estimate from the text, where whoever read the chunk made
            one because the engine does not count.
        token_ids: their ids, where the engine sends them.
        steps: verification steps of the target model since the previous observation.
        drafted: draft tokens proposed in those steps.
        accepted: draft tokens kept in those steps (without the bonus token).
        is_upper_bound: acceptance was derived from chunk sizes. Chunks can merge several steps, so
            the true acceptance may be lower: a low reading can be believed, a high one needs the
            text to agree.
        logprobs: natural logarithms of the probabilities of the new tokens, where the engine sends
            them.
    """

    text: str = ""
    new_tokens: int | None = None
    token_ids: tuple[int, ...] | None = None
    steps: int | None = None
    drafted: int | None = None
    accepted: int | None = None
    is_upper_bound: bool = False
    logprobs: tuple[float, ...] | None = None
    estimated_tokens: int | None = None
