"""Retries that clients make themselves: SDKs multiply with the proxy's own. Pure."""

from collections.abc import Iterable

_COUNT_HEADER = "x-stainless-retry-count"  # sent by OpenAI's and Anthropic's SDKs; two by default


def client_retries(headers: Iterable[tuple[str, str]]) -> int:
    """How often the client has sent this request before, as far as it says so."""
    value = next((value for name, value in headers if name == _COUNT_HEADER), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 4 else 0


def allowed_attempts(max_attempts: int, retries: int) -> int:
    """Attempts that a client's retry gets: what the client does again the proxy does not."""
    return max(1, max_attempts - retries)
