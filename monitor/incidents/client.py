"""Asks a running monitor over HTTP. Says in one sentence why that fails."""

import http.client
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from monitor.errors import IncidentsUnavailable

TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 256 * 1024 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: followed, it would get the key, wherever it leads."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass(frozen=True, slots=True)
class MonitorClient:
    """One monitor.

    Args:
        address: as ``http://127.0.0.1:30000``.
        admin_key: the monitor's, if it has one.
    """

    address: str
    admin_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS

    def get(self, path: str, **query: object) -> bytes | None:
        """The body of a page; ``None`` if there is none of this name.

        Raises:
            IncidentsUnavailable: the monitor cannot be reached, or refuses.
        """
        given = {name: str(value) for name, value in query.items() if value is not None}
        asked = f"?{urllib.parse.urlencode(given)}" if given else ""
        url = f"{self.address.rstrip('/')}{path}{asked}"
        key = self.admin_key
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
                raise ValueError("the scheme must be http or https")
            request = urllib.request.Request(url, headers=headers)
            with _OPENER.open(request, timeout=self.timeout_seconds) as answer:
                body: bytes = answer.read(_MOST_BYTES)
                return body
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code == 404:
                return None
            raise IncidentsUnavailable(self._refusal(path, error.code)) from error
        except ValueError as error:
            wanted = "not an address such as http://127.0.0.1:30000"
            raise IncidentsUnavailable(f"{self.address}: {wanted} ({error})") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise IncidentsUnavailable(f"{self.address} cannot be reached: {reason}") from error

    def _refusal(self, path: str, status: int) -> str:
        if status in (401, 403):
            return f"{self.address} needs the right --admin-key (or SPECWATCH_ADMIN_KEY)"
        return f"{self.address} answers {status} to {path}: is it `specwatch serve`?"
