"""A streamed answer is shown to the detectors, whatever pieces its bytes come in."""

import json

from monitor.ablation.listening import Listeners
from monitor.traffic.schedule import Planned
from monitor.traffic.trace import TraceRequest
from retry_proxy.engines.adapter import EngineProfile

PROFILE = EngineProfile("sglang", is_integrated=True, is_speculating=True, draft_tokens=3)
SENTENCE = "the cat sat on the mat and looked at the dog for a long time before it left ."
PHRASE = SENTENCE.split()


def stream(words: list[str]) -> bytes:
    """One word a chunk, cumulative, as /generate sends them."""
    events = []
    for number in range(1, len(words) + 1):
        last = {"type": "length", "length": number} if number == len(words) else None
        meta = {"completion_tokens": number, "prompt_tokens": 5, "finish_reason": last}
        payload = {"text": " ".join(words[:number]), "meta_info": meta}
        events.append(b"data: " + json.dumps(payload).encode() + b"\n\n")
    return b"".join(events) + b"data: [DONE]\n\n"


def found(content: bytes, step: int) -> list[tuple[int, str, str]]:
    listeners = Listeners(PROFILE)
    hear = listeners.listen(Planned(7, 0.0, TraceRequest(0.0, 5, 5, sampling={"temperature": 0.0})))
    for start in range(0, len(content), step):
        hear(content[start : start + step])
    return [
        (number, verdict.detector, verdict.kind.value)
        for number, verdict in listeners.verdicts().items()
    ]


def test_a_loop_is_found_in_pieces_of_any_size() -> None:
    content = stream(PHRASE * 12)
    for step in (1000, 10**9):
        assert found(content, step) == [(7, "repetition", "repetition")]


def test_a_healthy_answer_has_no_finding() -> None:
    assert found(stream(PHRASE), 100) == []


def test_what_is_no_stream_of_answers_is_left_to_the_sender() -> None:
    """It fails nothing here, and what came before it counts."""
    loop = stream(PHRASE * 12)
    assert found(loop[:-14] + b"data: {broken\n\n", 10**9) == [(7, "repetition", "repetition")]
    for content in (b"data: 7\n\n", b"data: {}\n\n", b"no event\n\n", b"data: \xff\n\n"):
        assert found(content, 10**9) == []
