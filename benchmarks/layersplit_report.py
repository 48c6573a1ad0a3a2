"""The table and the notes of the LayerSplit benchmark."""

import os
from dataclasses import dataclass

from benchmarks.layersplit_profile import Overlap
from benchmarks.layersplit_ranks import Case, Setting

COLUMNS = (
    "tokens",
    "layout",
    "batch",
    "cache a rank, MB",
    "of it staging, MB",
    "s a pass (slowest)",
    "prompt tokens/s",
    "gain",
    "broadcast hidden",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One case: seconds of each pass, bytes of the first rank's cache, and the profile."""

    case: Case
    seconds: list[float]
    stored: int
    staging: int
    overlap: Overlap

    @property
    def rate(self) -> float:
        """Prompt tokens a second, cached ones included, in the fastest pass."""
        return self.case.batch * self.case.context / min(self.seconds)


def rows_of(found: list[Measured]) -> list[list[str]]:
    lines = []
    base = {each.case.context: each for each in found if each.case.name == "replicated"}
    for each in found:
        case, plain = each.case, base[each.case.context]
        lines.append(
            [
                f"{case.context:,}",
                case.name,
                str(case.batch),
                f"{each.stored / 1e6:.0f}",
                f"{each.staging / 1e6:.0f}",
                f"{min(each.seconds):.2f} ({max(each.seconds):.2f})",
                f"{each.rate:,.0f}",
                "" if each is plain else f"{each.rate / plain.rate - 1:+.0%}",
                "" if each is plain else f"{each.overlap.hidden / each.overlap.broadcast:.0%}",
            ]
        )
    return lines


def notes_of(setting: Setting, found: list[Measured]) -> list[str]:
    shape = setting.shape
    return [
        f"Model: {shape.name}, {shape.num_layers} layers, {setting.dtype}, sparse attention with "
        f"top-k {setting.topk}; SmolLM2's own context ends at 8,192 tokens.",
        "90 % of each prompt is found in the cache (random numbers stand there); the rest is "
        "computed, all prompts of a batch in one pass. The fastest pass counts (in brackets: the "
        f"slowest of {len(found[0].seconds)}): other work of the machine only ever adds. Load "
        f"while it was written down: {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors.",
        "Both layouts have the same budget of cache a rank; the batch is what fits into it.",
        "'split' broadcasts one unit (a sequence in a layer) ahead; 'at the layer's turn' is the "
        "published order: index keys, then keys and values while the indexer computes.",
        "Broadcast hidden: share of the broadcasts' time in which the rank computed "
        "(torch.profiler, one pass, the first rank).",
        *cpu_notes(setting),
        *(layer_note(setting, each) for each in found if each.case.name != "replicated"),
    ]


def cpu_notes(setting: Setting) -> list[str]:
    if setting.device != "cpu":
        return []
    return [
        "On CPUs a pass takes as long as it has tokens: a larger batch hardly pays, and where "
        "other work runs beside, passes scatter by more than the layouts differ. Read "
        "batches, bytes, broadcast and indexer here, not the gain.",
        f"With {setting.layers} layers the staging area weighs as much as two of them do.",
    ]


def layer_note(setting: Setting, each: Measured) -> str:
    """A unit of one case, measured and on paper."""
    units, overlap = setting.layers * each.case.batch, each.overlap
    return (
        f"{each.case.context:,} tokens, {each.case.name}: for each sequence and layer "
        f"{1e3 * overlap.broadcast / units:.2f} ms of broadcast beside "
        f"{1e3 * overlap.indexer / units:.2f} ms of indexer and "
        f"{1e3 * overlap.attention / units:.2f} ms of attention; "
        f"{1e3 * overlap.waiting / units:.2f} ms of waiting; "
        f"new rows {1e3 * overlap.exchange / setting.layers:.2f} ms a layer."
    )
