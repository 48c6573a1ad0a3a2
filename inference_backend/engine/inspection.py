"""After each step: who read wrong cache, what of it is counted, who has to stop.

The sanitizer looks at pages; this knows sequences.
"""

import copy
from collections.abc import Callable, Iterable

from inference_backend.engine.runner import StepResult
from inference_backend.engine.scheduler import StepPlan
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.labels import Corruption, KvLabels
from inference_backend.kv.sanitizer import KvSanitizer, SanitizerMode, SanitizerRecord

Pending = Callable[[Sequence], Iterable[int]]
"""Places in a sequence's lease whose content has been asked for and has not arrived."""


class Inspection:
    """Labels the tokens of sequences.

    Args:
        width: tokens that a sequence brings to a verification step.

    Attributes:
        pending: see ``Pending``; set by what has content brought from elsewhere.
    """

    def __init__(self, sanitizer: KvSanitizer, width: int) -> None:
        self.sanitizer, self._width = sanitizer, width
        self.pending: Pending = lambda _: ()
        self._kinds: dict[str, Corruption] = {}

    def inspect(self, plan: StepPlan, result: StepResult) -> list[Sequence]:
        """Called between computing and accepting. Returns those that must end now."""
        self._kinds.clear()
        ends = {each.request_id: each.num_computed + self._width for each in plan.decodes}
        ends |= {chunk.sequence.request_id: chunk.end for chunk in plan.chunks}
        for chunk in plan.chunks:
            self._inherit(chunk.sequence, chunk.start)
        for sequence in dict.fromkeys(result.flagged):
            self._label(sequence, ends[sequence.request_id])
        planned = [*plan.decodes, *(chunk.sequence for chunk in plan.chunks)]
        wrong = [sequence for sequence in planned if is_tainted(sequence)]
        for sequence in wrong:
            self._spread(sequence)
        return wrong if self.sanitizer.mode is SanitizerMode.STOP else []

    def arrived(self, sequence: Sequence, *, is_tainted: bool = False) -> None:
        """A prompt that was computed elsewhere is said to be here: is it?

        ``is_tainted``: who computed it says that it was from wrong cache.
        """
        lease = sequence.lease
        assert lease is not None
        self.sanitizer.check_arrival(lease, sequence.num_computed)
        if is_tainted:
            self._mark(sequence)
            self.sanitizer.taint(lease, lease.reused * self.sanitizer.page_size)

    def note(self, sequence: Sequence) -> None:
        """The step's tokens of a sequence, or its end, are final."""
        labels = sequence.labels
        if labels is None:
            return
        new = len(sequence.new_tokens)
        if new and is_tainted(sequence):
            kind = self._kinds.get(sequence.request_id, Corruption.DERIVED)
            labels.count(kind, new, sequence.completion_tokens - new)
            self.sanitizer.count(kind, new)
        self.sanitizer.remember(
            SanitizerRecord(
                sequence.request_id,
                copy.deepcopy(labels),
                sequence.completion_tokens,
                sequence.finish_reason,
            )
        )

    def _inherit(self, sequence: Sequence, start: int) -> None:
        lease = sequence.lease
        assert lease is not None
        is_first = start == lease.reused * self.sanitizer.page_size
        if is_first and self.sanitizer.inherits(lease):
            self._mark(sequence)

    def _label(self, sequence: Sequence, tokens: int) -> None:
        assert sequence.lease is not None
        finding = self.sanitizer.examine(sequence.lease, tokens, self.pending(sequence))
        self._kinds[sequence.request_id] = finding.kind
        self._mark(sequence).name(finding.writers)
        if self.sanitizer.mode is SanitizerMode.STOP:
            self.sanitizer.forget(finding.pages)

    def _mark(self, sequence: Sequence) -> KvLabels:
        sequence.labels = sequence.labels or KvLabels()
        sequence.tainted = sequence.lease
        return sequence.labels

    def _spread(self, sequence: Sequence) -> None:
        """What it computes is wrong: in ``stop`` nobody may find it, else it is remembered."""
        assert sequence.lease is not None
        if self.sanitizer.mode is SanitizerMode.STOP:
            sequence.lease.is_private = True
        else:
            self.sanitizer.taint(sequence.lease, sequence.num_computed)


def is_tainted(sequence: Sequence) -> bool:
    return sequence.tainted is not None and sequence.tainted is sequence.lease
