"""Makes of a recording the observations that a proxy would have had, event by event. Pure."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectors.observation import Observation
from detectors.token_estimate import TokenEstimate
from monitor.offline.recording import Recording

PIECE_CHARACTERS = 4  # of a text without events: about one token


@dataclass(frozen=True, slots=True)
class Steps:
    """Verification steps of one event; none at all where ``count`` is ``None``."""

    count: int | None = None
    accepted: int | None = None
    drafted: int | None = None


NO_STEPS = Steps()


def observations(record: Recording) -> Iterator[Observation]:
    """The stream of ``record``, as the proxy would have seen it.

    With ``tokens_per_event``, event 0 is the prefill and has no step; each later one has the next
    step if there are as many, else the steps whose last token it holds. Without, the events follow
    from the accepted drafts. Text goes with its tokens by ``chars_per_event``, else in proportion.
    A text without any count comes in pieces of four characters and an estimate of their tokens.
    """
    tokens = event_tokens(record)
    if tokens is None:
        yield from _text_only(record)
        return
    steps = event_steps(record, tokens)
    ends = _character_ends(record, tokens)
    text = record.text or ""
    token, character = 0, 0
    for new_tokens, step, end in zip(tokens, steps, ends, strict=True):
        upto = token + new_tokens
        yield Observation(
            text=text[character:end],
            new_tokens=new_tokens,
            token_ids=record.token_ids[token:upto] if record.token_ids is not None else None,
            steps=step.count,
            drafted=step.drafted,
            accepted=step.accepted,
            logprobs=record.logprobs[token:upto] if record.logprobs is not None else None,
        )
        token, character = upto, end


def event_tokens(record: Recording) -> list[int] | None:
    """Tokens of each event; ``None`` where nothing but the text is known."""
    if record.tokens_per_event is not None:
        return list(record.tokens_per_event)
    total = len(record.token_ids) if record.token_ids is not None else None
    if record.accepted_per_step is None:
        return None if total is None else [1] * total
    found = [1, *(accepted + 1 for accepted in record.accepted_per_step)]
    if total is None:
        return found
    # The last step is cut where the answer reached its limit; what comes after it had no step.
    kept = [
        max(0, min(count, total - before))
        for count, before in zip(found, itertools.accumulate(found, initial=0), strict=False)
    ]
    rest = total - sum(kept)
    return [*kept, rest] if rest else kept


def event_steps(record: Recording, tokens: Sequence[int]) -> list[Steps]:
    """The verification steps of each event."""
    accepted, drafted = record.accepted_per_step, record.drafted_per_step
    if accepted is None or not tokens:
        return [NO_STEPS] * len(tokens)
    if len(accepted) == len(tokens) - 1:
        owners: Sequence[int] = range(1, len(tokens))
    else:
        owners = _owners(accepted, tokens)
    # The engine does tell of its steps: an event without one had none, the prefill among them.
    is_drafted = drafted is not None
    counts, kept, proposed = ([0] * len(tokens) for _ in range(3))
    for step, event in enumerate(owners):
        counts[event] += 1
        kept[event] += accepted[step]
        proposed[event] += drafted[step] if drafted is not None else 0
    return [
        Steps(count, kept[event], proposed[event] if is_drafted else None) if count else NO_STEPS
        for event, count in enumerate(counts)
    ]


def _owners(accepted: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """For each step, the event that holds its last token; the last event takes what is over.

    Where there is a step for every event, and the first event is as long as the first step, there
    was no event of the prefill alone.
    """
    has_prefill = not (len(accepted) == len(tokens) and tokens[0] == accepted[0] + 1)
    event_ends = list(itertools.accumulate(tokens))
    owners, event, end = [], 0, 1 if has_prefill else 0
    for kept in accepted:
        end += kept + 1
        while event < len(tokens) - 1 and event_ends[event] < end:
            event += 1
        owners.append(event)
    return owners


def _character_ends(record: Recording, tokens: Sequence[int]) -> list[int]:
    """Where the text of each event ends."""
    if record.chars_per_event is not None:
        ends = list(itertools.accumulate(record.chars_per_event))
        if len(ends) == len(tokens):
            return ends
    length, total = len(record.text or ""), sum(tokens)
    if total == 0:
        return [length] * len(tokens)
    found = [length * upto // total for upto in itertools.accumulate(tokens)]
    return found


def _text_only(record: Recording) -> Iterator[Observation]:
    estimate = TokenEstimate()
    for piece in _pieces(record):
        yield Observation(text=piece, new_tokens=estimate.push(piece))


def _pieces(record: Recording) -> Iterator[str]:
    text = record.text or ""
    sizes: Sequence[int] = record.chars_per_event or ()
    if not sizes:
        sizes = [PIECE_CHARACTERS] * (-(-len(text) // PIECE_CHARACTERS))
    start = 0
    for size in sizes:
        yield text[start : start + size]
        start += size


class TextPlaces:
    """Finds the character at which a token's text begins."""

    def __init__(self, record: Recording) -> None:
        self._tokens = [0]  # tokens out after each event
        self._characters = [0]
        for observation in observations(record):
            self._tokens.append(self._tokens[-1] + (observation.new_tokens or 0))
            self._characters.append(self._characters[-1] + len(observation.text))

    @property
    def tokens(self) -> int:
        """Tokens of the whole record, estimated where it does not tell."""
        return self._tokens[-1]

    def character(self, token: int) -> int:
        """Index of the first character of token ``token`` (0-based), to the event's accuracy."""
        for event in range(1, len(self._tokens)):
            first, upto = self._tokens[event - 1], self._tokens[event]
            if token < upto:
                start, end = self._characters[event - 1], self._characters[event]
                return start + (end - start) * max(0, token - first) // (upto - first)
        return self._characters[-1]

    def token(self, character: int) -> int:
        """Tokens that were out when ``character`` (0-based) came: the index of its token."""
        for event in range(1, len(self._characters)):
            if character < self._characters[event]:
                return self._tokens[event - 1]
        return self._tokens[-1]
