"""One recorded generation, as it stands in a line of JSON. Knows no file and no detector."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
UNDAMAGED = frozenset({"none", "good", "healthy", "clean", "ok"})


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one generation gave: text, token ids or accepted drafts, and what else is known.

    Attributes:
        id: name of the record; file and line where it has none.
        tokens_per_event: tokens of each streamed event, the prefill event first.
        accepted_per_step: draft tokens kept by each verification step, bonus token not counted.
        drafted_per_step: draft tokens proposed in it.
        chars_per_event: characters of ``text`` in each event.
        logprobs: natural logarithms of the tokens' probabilities.
        temperature, prompt_id, split: of the generation, for grouping.
        fault: what was done to its cache, ``"none"`` for nothing.
        label: what somebody found it to be, ``"good"`` for healthy.
        onset_token: 0-based index of the first bad token. ``None`` beside a fault: not reached.
        onset_char: the same in characters, where the tokenizer of ``onset_token`` is another one.
        file: where it was read.
    """

    id: str | int | None = None
    text: str | None = None
    token_ids: tuple[Count, ...] | None = None
    tokens_per_event: tuple[Count, ...] | None = None
    accepted_per_step: tuple[Count, ...] | None = None
    drafted_per_step: tuple[Count, ...] | None = None
    chars_per_event: tuple[Count, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    model: str | None = None
    engine: str | None = None
    num_drafts: Count | None = None
    temperature: float | None = None
    prompt_id: str | int | None = None
    split: str | None = None
    fault: str | None = None
    label: str | None = None
    onset_token: Count | None = None
    onset_char: Count | None = None
    file: str = ""

    @property
    def is_labelled(self) -> bool:
        """It says whether it is damaged."""
        return self.fault is not None or self.label is not None

    @property
    def has_fault(self) -> bool:
        """Its cache was meant to be damaged, whether or not it came to it."""
        return self.fault is not None and self.fault not in UNDAMAGED

    @property
    def is_damaged(self) -> bool:
        """It says that some of it is bad. A fault whose onset was not reached damaged nothing."""
        if self.has_fault:
            return self.onset_token is not None
        return self.label is not None and self.label not in UNDAMAGED

    @property
    def most_drafts(self) -> int | None:
        """Drafts of a step: as told, else the most that were seen."""
        if self.num_drafts is not None:
            return self.num_drafts
        seen = self.drafted_per_step or self.accepted_per_step
        return max(seen) if seen else None


def problem(record: Recording) -> str | None:
    """What does not fit together in it, in words that say what to change; else ``None``."""
    if record.text is None and not record.token_ids and record.accepted_per_step is None:
        return "it has neither text, token_ids nor accepted_per_step: give one of them"
    accepted, drafted = record.accepted_per_step, record.drafted_per_step
    if drafted is not None and accepted is None:
        return "drafted_per_step without accepted_per_step: give both, or neither"
    if accepted is not None and drafted is not None and len(accepted) != len(drafted):
        return _unequal("accepted_per_step", len(accepted), "drafted_per_step", len(drafted))
    events, ids = record.tokens_per_event, record.token_ids
    if events is not None and ids is not None and sum(events) != len(ids):
        return (
            f"tokens_per_event sums to {sum(events)}, but there are {len(ids)} token_ids: every "
            "token belongs to one event, the prefill event comes first"
        )
    return _logprob_problem(record) or _character_problem(record)


def _logprob_problem(record: Recording) -> str | None:
    tokens = token_count(record)
    if record.logprobs is None or tokens is None or len(record.logprobs) == tokens:
        return None
    return _unequal("logprobs", len(record.logprobs), "tokens", tokens)


def _character_problem(record: Recording) -> str | None:
    characters, events = record.chars_per_event, record.tokens_per_event
    if characters is None:
        return None
    if record.text is None:
        return "chars_per_event without text: give the text too"
    if sum(characters) != len(record.text):
        return f"chars_per_event sums to {sum(characters)}, but text has {len(record.text)}"
    if events is not None and len(events) != len(characters):
        return _unequal("chars_per_event", len(characters), "tokens_per_event", len(events))
    return None


def _unequal(one: str, count: int, other: str, other_count: int) -> str:
    return f"{one} has {count} entries, {other} {other_count}: they must have equally many"


def token_count(record: Recording) -> int | None:
    """Generated tokens, where the record tells them."""
    if record.token_ids is not None:
        return len(record.token_ids)
    if record.tokens_per_event is not None:
        return sum(record.tokens_per_event)
    if record.accepted_per_step is not None:
        return 1 + _step_tokens(record.accepted_per_step)
    return None


def _step_tokens(accepted: Sequence[int]) -> int:
    """Tokens of some verification steps: the kept drafts and one more each."""
    return sum(accepted) + len(accepted)
