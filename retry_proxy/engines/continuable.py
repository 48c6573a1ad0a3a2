"""Whether a kind of request may be continued from a prefix at all. Knows no engine."""

from typing import Any

# A grammar's state starts at its root again on a continuation: nested or doubled JSON.
_GRAMMAR_FIELDS = (
    "regex",
    "ebnf",
    "json_schema",
    "structural_tag",
    "grammar",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
)
_NOT_CONTINUED = (
    "top_logprobs",
    "return_logprob",
    "functions",
    "echo",
    "suffix",
    "session_params",
)


def is_continuable(body: dict[str, Any], sampling: dict[str, Any]) -> bool:
    """No grammar, no logprobs, no tool call that must come.

    A request with tools may be continued until a call begins, which its pieces tell.
    """
    if _is_guided(body.get("response_format")) or _has_guided_output(body):
        return False
    if any(body.get(name) or sampling.get(name) for name in _GRAMMAR_FIELDS):
        return False
    if body.get("best_of") not in (None, 1):
        return False
    if body.get("tools") and not _is_free_choice(body.get("tool_choice")):
        return False
    # 0 asks for the logprob of the chosen token, and equals False
    if body.get("logprobs") is not None and body["logprobs"] is not False:
        return False
    return not any(body.get(name) for name in _NOT_CONTINUED)


def _is_guided(output_format: object) -> bool:
    return isinstance(output_format, dict) and output_format.get("type") not in (None, "text")


def _has_guided_output(body: dict[str, Any]) -> bool:
    """Anthropic's ``output_config.format`` and ``output_format``."""
    config = body.get("output_config")
    asked = config.get("format") if isinstance(config, dict) else None
    return _is_guided(asked) or _is_guided(body.get("output_format"))


def _is_free_choice(choice: object) -> bool:
    """A call that must come is written under a grammar."""
    kind = choice.get("type") if isinstance(choice, dict) else choice
    return kind in (None, "auto", "none")
