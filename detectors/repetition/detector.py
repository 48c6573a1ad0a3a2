"""The repetition detector of one stream: observations in, a verdict out."""

from detectors.observation import Observation
from detectors.repetition.content import NOTHING, Content, classify
from detectors.repetition.cycle import BLOCK_MAX, Cycle
from detectors.repetition.evidence import near_evidence, needed_exact
from detectors.repetition.symbols import from_pieces, split_text
from detectors.verdict import AnomalyKind, Verdict

_WATCHED_BLOCK = 4  # symbols in a block once an exact repeat is half an alarm
_WATCH_FROM = 0.5  # evidence
_WEIGHED_FROM = 22  # symbols: fewer are never half an alarm
_CHARACTERS = 76  # bytes that mostly hold a block of text
_WATCHED_CHARACTERS = 16
_VARIETY_HEALTHY = 40  # different symbols of 64


class Repetition:
    """Repetition: the tail of the stream is a copy of what came before it, exactly or nearly.

    Reads token ids if the first observation with output carries them, else text. Symbols are
    collected and looked at in blocks that are cut by position, so any chunking of a stream gives
    the same verdict. Nothing is latched: after a loop that ended the stream is healthy again.
    """

    name = "repetition"

    __slots__ = (
        "_counts",
        "_cycle",
        "_due",
        "_evidence",
        "_pending",
        "_reads_ids",
        "_text",
        "_tokens",
        "is_watching",
    )

    def __init__(self) -> None:
        self._cycle = Cycle()
        self._reads_ids: bool | None = None
        self._pending = bytearray()  # symbols of token ids that make no block yet
        self._text = b""  # UTF-8 that belongs to them, or that makes no block yet
        self._due = BLOCK_MAX  # pending symbols, or bytes of text, to wait for
        self._counts = NOTHING  # characters of the copies since the first
        self._evidence = 0.0
        self.is_watching = False  # half the evidence for an alarm
        self._tokens = 0  # generated up to the last block

    @property
    def period(self) -> int | None:
        """Distance of the copy in symbols; ``None`` when the tail is no copy."""
        return self._cycle.period or None

    @property
    def copies(self) -> float:
        """Copies of the period in the tail, the first included; 0 without one."""
        cycle = self._cycle
        return 1.0 + cycle.span / cycle.period if cycle.period else 0.0

    @property
    def onset_token(self) -> int | None:
        """First token of the first copy (estimated for text); ``None`` when the tail is no copy."""
        cycle = self._cycle
        return self._onset(cycle.span) if cycle.period else None

    @property
    def strength(self) -> float:
        """How periodic or recycled the tail is, 0 to 1; 1 is an alarm.

        A drifting loop over few words has no period: it shows by its variety.
        """
        variety = self._cycle.variety
        recycled = 0.0 if variety is None else 1.0 - variety / _VARIETY_HEALTHY
        return min(max(self._evidence, recycled, 0.0), 1.0)

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        """Takes the next observation; returns a verdict when the evidence reaches 1."""
        token_ids = observation.token_ids
        if self._reads_ids is None:
            self._choose_source(observation)
        if self._reads_ids:
            if not token_ids:
                return None
            append = self._pending.append  # a loop beats a comprehension for one to four tokens
            for token_id in token_ids:
                append(token_id & 255)
            # What a copy is made of; nothing to know without one.
            if self._cycle.period or len(token_ids) > BLOCK_MAX:
                self._text += observation.text.encode("utf-8", "replace")
            return self._read_ids(tokens) if len(self._pending) >= self._due else None
        if not observation.text:
            return None
        self._text += observation.text.encode("utf-8", "replace")
        return self._read_text(tokens) if len(self._text) >= self._due else None

    def _choose_source(self, observation: Observation) -> None:
        if observation.token_ids:
            self._reads_ids = True
        elif observation.text:
            self._reads_ids = False
            self._due = _CHARACTERS

    def _read_ids(self, tokens: int) -> Verdict | None:
        pending, text = self._pending, self._text
        total = len(pending)
        at = cut = 0
        found = None
        while total - at >= self._due:
            end = at + self._due
            next_cut = len(text) * end // total  # a chunk's text is spread evenly over its tokens
            self._tokens = tokens - (total - end)
            verdict = self._look(bytes(pending[at:end]), text[cut:next_cut], tokens)
            found = found or verdict
            self._due = self._block_size
            at, cut = end, next_cut
        del pending[:at]
        self._text = text[cut:]
        return found

    def _read_text(self, tokens: int) -> Verdict | None:
        pieces = split_text(self._text)
        complete = len(pieces) - 1
        at = 0
        found = None
        while complete - at >= self._block_size:
            block = pieces[at : at + self._block_size]
            at += len(block)
            left = len(pieces) - at
            self._tokens = max(0, tokens - left)
            verdict = self._look(from_pieces(block), b"".join(block), tokens)
            found = found or verdict
        self._text = b"".join(pieces[at:])
        is_fine = self._block_size == _WATCHED_BLOCK
        wanted = _WATCHED_CHARACTERS if is_fine else _CHARACTERS
        # With pieces left over fewer are missing; waiting a little saves cutting them twice.
        self._due = max(wanted, len(self._text) + _WATCHED_CHARACTERS)
        return found

    @property
    def _block_size(self) -> int:
        """Fine blocks save up to 12 symbols where an exact repeat may soon be an alarm."""
        is_exact = self._cycle.matched >= BLOCK_MAX
        return _WATCHED_BLOCK if is_exact and self.is_watching else BLOCK_MAX

    def _look(self, block: bytes, text: bytes, tokens: int) -> Verdict | None:
        """Takes one block of symbols and its text."""
        cycle = self._cycle
        span = cycle.span
        cycle.push(block)
        if not cycle.period:
            self._evidence = 0.0
            self.is_watching = False
            return None
        if cycle.span != span + len(block):  # another copy is followed now
            self._counts = NOTHING
        self._counts = self._counts.plus(text)
        if cycle.span < _WEIGHED_FROM:
            self._evidence = 0.0
            self.is_watching = False
            return None
        return self._weigh(classify(self._counts, text), tokens)

    def _weigh(self, content: Content, tokens: int) -> Verdict | None:
        cycle = self._cycle
        period = cycle.period
        before = cycle.count - cycle.matched - period
        is_text = not self._reads_ids
        exact = cycle.matched / needed_exact(period, content, before, is_text=is_text)
        near = near_evidence(cycle.span, cycle.changed, period, content)
        self._evidence = max(exact, near, 0.0)
        self.is_watching = self._evidence >= _WATCH_FROM
        if self._evidence < 1.0:
            return None
        return self._verdict(cycle.matched if exact >= 1.0 else cycle.span, exact < 1.0, tokens)

    @property
    def _tokens_per_symbol(self) -> float:
        if self._reads_ids or not self._cycle.count:
            return 1.0
        return self._tokens / self._cycle.count

    def _onset(self, length: int) -> int:
        """First token of the first copy, when the later ones have ``length`` symbols."""
        symbols = length + self._cycle.period
        return max(0, self._tokens - round(symbols * self._tokens_per_symbol))

    def _verdict(self, length: int, is_near: bool, tokens: int) -> Verdict:
        period = self._cycle.period
        copies = 1.0 + length / period
        onset = self._onset(length)
        return Verdict(
            kind=AnomalyKind.REPETITION,
            detector=self.name,
            score=self._evidence,
            onset_token=onset,
            alarm_token=tokens,
            reason=self._reason(copies, onset, is_near),
            evidence={"period": float(period), "copies": copies, "matched": float(length)},
        )

    def _reason(self, copies: float, onset: int, is_near: bool) -> str:
        period = self._cycle.period
        changes = " with small changes" if is_near else ""
        if self._reads_ids:
            unit = "token repeats" if period == 1 else f"{period} tokens repeat"
            return f"the same {unit} {copies:.1f} times{changes} since token {onset}"
        # How many tokens they are is an estimate that no one could check.
        unit = "word or sign repeats" if period == 1 else f"{period} words and signs repeat"
        return f"the same {unit} {copies:.1f} times{changes}"
