"""Token ids to text while they arrive: each token is decoded a bounded number of times."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
CONTEXT_TOKENS = (
    6  # tokens before the new ones that a decoder may need to see (leading spaces, byte runs)
)
MAX_PENDING = (
    6  # UTF-8 has at most 4 bytes a character: this many tokens that end in none are broken
)
TAIL_TOKENS = 3  # the longest start of a character that may still be completed


class Detokenizer:
    """Text of one generation. Incomplete UTF-8 is held back until it is complete, or by ``flush``.

    Decoders look at neighbours, so new tokens are decoded together with a few already decoded ones;
    the difference is the new text. The end of the prompt is the first such context.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt_ids: Sequence[int]) -> None:
        self._decode = decode
        self._pending: list[int] = []
        self._context = list(prompt_ids[-CONTEXT_TOKENS:])
        # A prompt of token ids may end within a character, whose rest then belongs to this answer.
        self._context_text = decode(self._context).removesuffix(REPLACEMENT)

    def push(self, token_ids: Sequence[int]) -> str:
        """Takes new tokens and returns the text that is now certain."""
        text = self._settle([*self._pending, *token_ids])
        if text is not None:
            return text
        return "".join([self._push_one(token_id) for token_id in token_ids])

    def flush(self) -> str:
        """Returns what is still held back, broken bytes as U+FFFD: no more tokens will come."""
        text = self._new_text(self._pending)
        self._pending = []
        return text

    def _push_one(self, token_id: int) -> str:
        self._pending.append(token_id)
        text = self._settle(self._pending)
        if text is None and len(self._pending) > MAX_PENDING:
            return self._give_up_head()
        return text or ""

    def _settle(self, tokens: Sequence[int]) -> str | None:
        """Emits all of ``tokens``; ``None``, nothing changed, if they end within a character."""
        text = self._new_text(tokens)
        if text.endswith(REPLACEMENT):
            return None
        self._pending = []
        if text:  # special tokens have no text and are no context
            self._context = list(tokens[-CONTEXT_TOKENS:])
            self._context_text = self._decode(self._context)
        return text

    def _give_up_head(self) -> str:
        """Broken bytes: emits all but the last few tokens, which may still begin a character."""
        head, tail = self._pending[:-TAIL_TOKENS], self._pending[-TAIL_TOKENS:]
        text = self._new_text(head)
        self._context, self._pending = head, tail
        self._context_text = self._decode(head)
        return text

    def _new_text(self, tokens: Sequence[int]) -> str:
        return self._decode([*self._context, *tokens])[len(self._context_text) :]
