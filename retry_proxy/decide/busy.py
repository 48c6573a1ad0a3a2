"""An engine that is too busy for a request says so; another one may not be. Pure."""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from http import HTTPStatus

_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_UNTOLD_SECONDS = 1.0
_LONGEST_SECONDS = 30.0


def is_busy(status: int) -> bool:
    """The request is fine, the engine has no room or time for it now."""
    return status in _BUSY


def retry_after_seconds(headers: Iterable[tuple[str, str]], unix_now: float) -> float:
    """For how long the engine asks to be spared: seconds or a date (RFC 9110, 10.2.3)."""
    value = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit():
        return min(_LONGEST_SECONDS, float(value[:9]))
    try:
        wanted = parsedate_to_datetime(value).timestamp() - unix_now
    except (ValueError, OverflowError):
        return _UNTOLD_SECONDS
    return min(_LONGEST_SECONDS, max(0.0, wanted))
