"""Sends requests to an engine directly, a given number at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest, SamplingParams, StepOutput

Listener = Callable[[StepOutput], bool]
"""Is shown every output; true aborts its generation."""


def greedy(tokens: int) -> SamplingParams:
    """The most likely token each time, and the full length."""
    return SamplingParams(max_new_tokens=tokens, temperature=0.0, ignore_eos=True)


def make_requests(
    prompts: Iterable[Sequence[int]],
    sampling: SamplingParams,
    *,
    salt: str = "",
    prefix: str = "",
) -> list[GenerationRequest]:
    """One request a prompt, named by its place after ``prefix``."""
    return [
        GenerationRequest(f"{prefix}{place}", tuple(prompt), sampling, salt)
        for place, prompt in enumerate(prompts)
    ]


def drive(
    engine: Engine, requests: Iterable[GenerationRequest], at_once: int, listen: Listener
) -> None:
    """Runs all requests, never more than ``at_once`` of them together."""
    waiting = deque(requests)
    running: set[str] = set()
    while waiting or running:
        while waiting and len(running) < at_once:
            request = waiting.popleft()
            engine.add(request)
            running.add(request.request_id)
        for output in engine.step():
            is_unwanted = listen(output)
            if output.finish_reason is not None:
                running.discard(output.request_id)
            elif is_unwanted:
                engine.abort(output.request_id)
                running.discard(output.request_id)


def collect(
    engine: Engine, requests: Sequence[GenerationRequest], at_once: int
) -> dict[str, list[int]]:
    """The tokens of every request."""
    found: dict[str, list[int]] = {request.request_id: [] for request in requests}

    def keep(output: StepOutput) -> bool:
        found[output.request_id] += output.token_ids
        return False

    drive(engine, requests, at_once, keep)
    return found
