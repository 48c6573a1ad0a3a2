"""From engine steps to text steps: detokenises, cuts at stop strings. Knows no wire format."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from inference_backend.engine.request import (
    FinishReason,
    GenerationRequest,
    SpecCounters,
    StepOutput,
)
from inference_backend.kv.labels import KvLabels
from inference_backend.server.detokenize import Detokenizer
from inference_backend.server.ports import Generator, Tokenizer
from inference_backend.server.stopping import StopStrings


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the generation ended.

    Attributes:
        matched: the stop string or stop token, for ``STOP``.
        message: for ``ABORT``.
    """

    reason: FinishReason
    matched: str | int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class TextStep:
    """One engine step as the client sees it: new text and tokens, numbers cumulative.

    ``text`` may be empty while tokens came: a character or a stop string may be incomplete.
    """

    text: str
    token_ids: tuple[int, ...]
    completion_tokens: int
    prompt_tokens: int
    cached_tokens: int
    counters: SpecCounters
    finish: Finish | None
    labels: KvLabels | None = None


class TextFlow:
    """The text of one generation."""

    def __init__(
        self, tokenizer: Tokenizer, prompt_ids: Sequence[int], stops: Sequence[str]
    ) -> None:
        self._detokenizer = Detokenizer(tokenizer.decode, prompt_ids)
        self._stopping = StopStrings(stops)
        self._cuts = bool(stops)

    def push(self, output: StepOutput) -> TextStep:
        """Takes the next engine step. After a step with ``finish`` there is no other."""
        tokens = output.token_ids
        text, taken = self._push_tokens(tokens, output.matched_token_id is not None)
        if output.finish_reason is not None and self._stopping.matched is None:
            text += self._flush()
        finish = self._finish(output)
        if self._stopping.matched is not None:
            tokens = tokens[:taken]
        return TextStep(
            text=text,
            token_ids=tokens,
            completion_tokens=output.completion_tokens - len(output.token_ids) + len(tokens),
            prompt_tokens=output.prompt_tokens,
            cached_tokens=output.cached_tokens,
            counters=output.counters,
            finish=finish,
            labels=output.labels,
        )

    def _push_tokens(self, tokens: tuple[int, ...], ends_in_stop_token: bool) -> tuple[str, int]:
        """Returns the text and how many tokens it took; the stop token itself has no text."""
        tokens = tokens[:-1] if ends_in_stop_token else tokens
        if not self._cuts:
            return self._detokenizer.push(tokens), len(tokens)
        text = ""
        for index, token_id in enumerate(tokens):  # singly: tokens after a stop string do not count
            text += self._stopping.push(self._detokenizer.push((token_id,)))
            if self._stopping.matched is not None:
                return text, index + 1
        return text, len(tokens)

    def _flush(self) -> str:
        text = self._stopping.push(self._detokenizer.flush())
        return text if self._stopping.matched is not None else text + self._stopping.flush()

    def _finish(self, output: StepOutput) -> Finish | None:
        if self._stopping.matched is not None:
            return Finish(FinishReason.STOP, self._stopping.matched)
        if output.finish_reason is None:
            return None
        return Finish(output.finish_reason, output.matched_token_id, output.abort_message)


async def text_steps(
    service: Generator, tokenizer: Tokenizer, request: GenerationRequest, stops: Sequence[str]
) -> AsyncGenerator[TextStep, None]:
    """Runs one generation. Leaving early, or closing this generator, aborts it in the engine."""
    flow = TextFlow(tokenizer, request.prompt_ids, stops)
    async with aclosing(service.generate(request)) as outputs:
        async for output in outputs:
            step = flow.push(output)
            yield step
            if step.finish is not None:
                return
