"""Makes the token ids of a prompt: renders the chat template, tokenises, checks ids and length."""

import asyncio
from collections.abc import Sequence

from inference_backend.errors import InvalidRequest
from inference_backend.server.ports import ServedModel, Tokenizer
from inference_backend.server.wire import ChatBody, CompletionBody, ContentPart, Message, NativeBody

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
INLINE_CHARS = 20_000  # longer texts are tokenised in a thread: running streams must not wait
# Options of the renderer, not of a template: clients may not bring a template of their own.
RESERVED_OPTIONS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)


class Prompts:
    """Prompts for one model. Every method may raise ``InvalidRequest``, which names the field."""

    def __init__(self, tokenizer: Tokenizer, model: ServedModel) -> None:
        self._tokenizer = tokenizer
        self._model = model

    async def of_native(self, body: NativeBody) -> tuple[int, ...]:
        """Prompt of /generate: exactly one of ``text`` and ``input_ids``."""
        if (body.text is None) == (body.input_ids is None):
            raise InvalidRequest("give exactly one of text and input_ids")
        if body.input_ids is not None:
            return self._check(body.input_ids, "input_ids")
        return await self._of_text(body.text or "", "text")

    async def of_completion(self, body: CompletionBody) -> tuple[int, ...]:
        """Prompt of /v1/completions: a text, token ids, or a list with one of them."""
        prompt = body.prompt
        if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
            only = prompt[0]
            return (
                await self._of_text(only, "prompt")
                if isinstance(only, str)
                else self._check(only, "prompt")
            )
        if isinstance(prompt, str):
            return await self._of_text(prompt, "prompt")
        token_ids = [item for item in prompt if isinstance(item, int)]
        if len(token_ids) != len(prompt):
            raise InvalidRequest(
                "prompt: one prompt a request; send several requests instead of a list"
            )
        return self._check(token_ids, "prompt")

    async def of_chat(self, body: ChatBody) -> tuple[int, ...]:
        """Prompt of /v1/chat/completions.

        With ``continue_final_message`` the last message is tokenised by itself and appended, as in
        SGLang: so were the tokens that it continues.
        """
        if body.input_ids is not None:
            return self._check(body.input_ids, "input_ids")
        if not body.messages:
            raise InvalidRequest("messages must not be empty")
        options = body.chat_template_kwargs or {}
        if reserved := RESERVED_OPTIONS & options.keys():
            raise InvalidRequest(f"chat_template_kwargs: {min(reserved)} cannot be set")
        messages = [as_mapping(index, message) for index, message in enumerate(body.messages)]
        prefix = self._take_prefix(messages) if body.continue_final_message else ""
        text = self._tokenizer.render(
            messages,
            add_generation_prompt=body.continue_final_message or body.add_generation_prompt,
            template_options=options,
        )
        token_ids = await self._encode(text, "messages", add_special_tokens=False)
        if prefix:
            token_ids += await self._encode(prefix, "messages", add_special_tokens=False)
        return self._check(token_ids, "messages")

    def _take_prefix(self, messages: list[dict[str, str]]) -> str:
        last = messages.pop()
        if last["role"] != "assistant":
            raise InvalidRequest("continue_final_message needs a last message of the assistant")
        if not messages:
            raise InvalidRequest("continue_final_message needs a message before the assistant's")
        return last["content"]

    async def _of_text(self, text: str, field: str) -> tuple[int, ...]:
        return self._check(await self._encode(text, field, add_special_tokens=True), field)

    async def _encode(self, text: str, field: str, *, add_special_tokens: bool) -> list[int]:
        least = len(text) // self._tokenizer.longest_token_chars
        if least >= self._model.max_context:  # do not spend seconds on what cannot fit
            raise InvalidRequest(
                f"{field}: {len(text)} characters are at least {least} tokens; "
                f"the context holds {self._model.max_context}, answer included"
            )
        if len(text) <= INLINE_CHARS:
            return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return await asyncio.to_thread(
            self._tokenizer.encode, text, add_special_tokens=add_special_tokens
        )

    def _check(self, token_ids: Sequence[int], field: str) -> tuple[int, ...]:
        if not token_ids:
            raise InvalidRequest(f"{field}: the prompt is empty")
        if min(token_ids) < 0 or max(token_ids) >= self._model.vocab_size:
            raise InvalidRequest(
                f"{field}: token ids must be from 0 to {self._model.vocab_size - 1}"
            )
        if len(token_ids) >= self._model.max_context:
            raise InvalidRequest(
                f"{field}: the prompt has {len(token_ids)} tokens; "
                f"the context holds {self._model.max_context}, answer included"
            )
        return tuple(token_ids)


def as_mapping(index: int, message: Message) -> dict[str, str]:
    """What a chat template reads of a message; text parts are joined, other parts refused."""
    if message.role not in ROLES:
        raise InvalidRequest(f"messages[{index}].role must be one of {', '.join(sorted(ROLES))}")
    if message.tool_calls:
        raise InvalidRequest(f"messages[{index}].tool_calls is not supported by this engine")
    if isinstance(message.content, list):
        return {
            "role": message.role,
            "content": "".join(part_text(index, part) for part in message.content),
        }
    if message.content is None:
        raise InvalidRequest(f"messages[{index}].content must be a text")
    return {"role": message.role, "content": message.content}


def part_text(index: int, part: ContentPart) -> str:
    if part.type != "text" or part.text is None:
        raise InvalidRequest(
            f"messages[{index}].content: only parts of type text are supported, not {part.type}"
        )
    return part.text
