"""Fields that the engine cannot honour: refused by name unless their value changes nothing."""

from collections.abc import Mapping

import msgspec

from inference_backend.errors import InvalidRequest

# field -> the values that change nothing; lists and objects change nothing when empty.
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "min_p": (0.0,),
    "min_tokens": (0,),
    "min_new_tokens": (0,),
    "frequency_penalty": (0.0,),
    "presence_penalty": (0.0,),
    "repetition_penalty": (1.0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "return_logprob": (False,),
    "tools": ([],),
    "json_schema": (),
    "regex": (),
    "ebnf": (),
    "response_format": ({"type": "text"},),
    "echo": (False,),
    "suffix": ("",),
    "skip_special_tokens": (True,),
    "no_stop_trim": (False,),
    "stream_interval": (1,),
}


def refuse_unsupported(body: msgspec.Struct) -> None:
    """Raises ``InvalidRequest`` for the first field that asks for what the engine cannot do."""
    for field in body.__struct_fields__:
        neutral = NEUTRAL.get(field)
        value = getattr(body, field)
        if neutral is None or value is None or is_neutral(value, neutral):
            continue
        allowed = f"only {neutral[0]!r}" if neutral else "leave it out"
        raise InvalidRequest(f"{field}={shorten(value)} is not supported by this engine: {allowed}")


def is_neutral(value: object, neutral: tuple[object, ...]) -> bool:
    """Equal and not a bool taken for a number: ``logprobs: 0`` asks for log probabilities."""
    return any(
        value == other and isinstance(value, bool) == isinstance(other, bool) for other in neutral
    )


def shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
