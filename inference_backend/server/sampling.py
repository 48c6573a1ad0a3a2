"""From the fields of a request body to the engine's ``SamplingParams``, checked."""

from collections.abc import Sequence

from inference_backend.engine.request import SamplingParams
from inference_backend.errors import InvalidRequest
from inference_backend.server.wire import ChatBody, NativeSampling, OpenAIBody

NATIVE_DEFAULT_TOKENS = 128  # SGLang's
OPENAI_DEFAULT_TOKENS = 1024
MAX_STOPS = 16
MAX_STOP_CHARS = 1024
SEED_RANGE = range(-(2**63), 2**63)


def native_params(
    body: NativeSampling, prompt_tokens: int, max_context: int, vocab_size: int
) -> SamplingParams:
    """Parameters of a /generate request.

    Raises:
        InvalidRequest: a value is out of range; the message names it.
    """
    wanted = body.max_new_tokens
    return SamplingParams(
        max_new_tokens=choose_max_new(wanted, NATIVE_DEFAULT_TOKENS, prompt_tokens, max_context),
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=read_top_k(body.top_k, vocab_size),
        seed=read_seed(body.sampling_seed),
        stop_token_ids=read_stop_tokens(body.stop_token_ids, vocab_size),
        ignore_eos=body.ignore_eos,
    )


def openai_params(
    body: OpenAIBody, prompt_tokens: int, max_context: int, vocab_size: int
) -> SamplingParams:
    """Parameters of a request on the OpenAI routes. Raises like ``native_params``."""
    wanted = body.max_tokens
    if isinstance(body, ChatBody) and body.max_completion_tokens is not None:
        wanted = body.max_completion_tokens
    return SamplingParams(
        max_new_tokens=choose_max_new(wanted, OPENAI_DEFAULT_TOKENS, prompt_tokens, max_context),
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=read_top_k(body.top_k, vocab_size),
        seed=read_seed(body.seed),
        stop_token_ids=read_stop_tokens(body.stop_token_ids, vocab_size),
        ignore_eos=body.ignore_eos,
    )


def choose_max_new(wanted: int | None, default: int, prompt_tokens: int, max_context: int) -> int:
    """The wanted number if it fits the context; without a wish what is left, capped."""
    left = max_context - prompt_tokens
    if left < 1:
        raise InvalidRequest(
            f"the prompt has {prompt_tokens} tokens; "
            f"the context holds {max_context}, answer included"
        )
    if wanted is None:
        return min(default, left)
    if wanted > left:
        raise InvalidRequest(
            f"the prompt has {prompt_tokens} tokens and {wanted} new ones are asked for; "
            f"the context holds {max_context} together, so at most {left} can be new"
        )
    return wanted


def read_top_k(top_k: int | None, vocab_size: int) -> int | None:
    """SGLang and vLLM write "all tokens" as -1."""
    return None if top_k is None or top_k == -1 or top_k >= vocab_size else top_k


def read_seed(seed: int | None) -> int | None:
    if seed is not None and seed not in SEED_RANGE:
        raise InvalidRequest(f"the seed must fit 64 bits, got {seed}")
    return seed


def read_stop_tokens(token_ids: Sequence[int] | None, vocab_size: int) -> frozenset[int]:
    for token_id in token_ids or ():
        if not 0 <= token_id < vocab_size:
            raise InvalidRequest(
                f"stop_token_ids: {token_id} is not in the vocabulary of {vocab_size}"
            )
    return frozenset(token_ids or ())


def read_stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Stop strings, each once, in order. An empty one would stop at once and is an error."""
    stops = () if stop is None else (stop,) if isinstance(stop, str) else tuple(dict.fromkeys(stop))
    if len(stops) > MAX_STOPS:
        raise InvalidRequest(f"stop: at most {MAX_STOPS} strings, got {len(stops)}")
    for text in stops:
        if not 0 < len(text) <= MAX_STOP_CHARS:
            raise InvalidRequest(
                f"stop: each string must have 1 to {MAX_STOP_CHARS} characters, got {len(text)}"
            )
    return stops
