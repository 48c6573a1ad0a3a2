"""Wraps a tokenizer of transformers into the few calls that the server makes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2

from inference_backend.errors import InvalidRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class HubTokenizer:
    """See ``ports.Tokenizer``."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        # In a byte-level vocabulary a letter stands for a byte: never too small.
        self.longest_token_chars = max(map(len, tokenizer.get_vocab()))

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        token_ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return token_ids

    def decode(self, token_ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        template_options: Mapping[str, Any],
    ) -> str:
        if not self._tokenizer.chat_template:
            raise InvalidRequest("this model has no chat template: use /v1/completions")
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **template_options,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the chat template refuses these messages: {error}") from error
        assert isinstance(text, str)
        return text
