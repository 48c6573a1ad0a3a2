"""Acceptance numbers under SGLang's names and by SGLang's formulas.

Stock SGLang gives them once, with the last chunk of a stream. This server gives them on every
chunk, cumulative, so that a generation can be judged while it runs.
"""

from inference_backend.engine.request import SpecCounters


def spec_fields(counters: SpecCounters, completion_tokens: int) -> dict[str, int | float]:
    """The ``spec_*`` fields; none while no verification step has run, as in SGLang.

    The accept length includes the bonus token and, as in SGLang, the first token of the generation,
    which no verification step gave. The accept rate counts drafts only.
    """
    if counters.verify_steps == 0:
        return {}
    proposed = counters.proposed_drafts
    return {
        "spec_verify_ct": counters.verify_steps,
        "spec_accept_length": completion_tokens / counters.verify_steps,
        "spec_accept_rate": counters.correct_drafts / proposed if proposed else 0.0,
        "spec_num_correct_drafts": counters.correct_drafts,
        "spec_num_proposed_drafts": proposed,
    }
