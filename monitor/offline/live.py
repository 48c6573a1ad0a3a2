"""Recordings from a running proxy: asks it for the attempts that have ended, until enough came."""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from monitor.offline.errors import NoLiveTraffic
from monitor.offline.reading import parse_line
from monitor.offline.recording import Recording

ROUTE = "/api/acceptance"
_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 1.0


class _Page(msgspec.Struct):
    """What the route answers: ended attempts after ``since``, oldest first, as recordings."""

    attempts: list[msgspec.Raw]
    next: int  # to be given as ``since`` the next time


@dataclass(frozen=True, slots=True)
class LiveTraffic:
    """Attempts that a proxy saw.

    Args:
        proxy: its address, as ``http://127.0.0.1:30000``.
        requests: how many are wanted.
        seconds: how long to wait for them.
        admin_key: the proxy's, if it has one.
    """

    proxy: str
    requests: int
    seconds: float
    admin_key: str | None = None

    def recordings(self) -> Iterator[Recording]:
        """Each attempt once, as it ends; fewer than wanted if the time is over.

        Raises:
            NoLiveTraffic: the proxy cannot be reached, or does not keep the acceptance of attempts.
        """
        since, count = 0, 0
        end = time.monotonic() + self.seconds
        while count < self.requests:
            page = self._page(since)
            for number, line in enumerate(page.attempts[: self.requests - count], start=1):
                yield parse_line(bytes(line), f"{self.proxy}{ROUTE}", number)
            count += len(page.attempts)
            is_new, since = page.next > since, page.next
            if time.monotonic() > end:
                return
            if not is_new:
                time.sleep(_POLL_SECONDS)

    def _request(self, address: str) -> urllib.request.Request:
        key = self.admin_key
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return urllib.request.Request(address, headers=headers)

    def _page(self, since: int) -> _Page:
        address = f"{self.proxy.rstrip('/')}{ROUTE}?since={since}"
        if urllib.parse.urlsplit(address).scheme not in {"http", "https"}:
            raise NoLiveTraffic(f"{self.proxy}: not an address such as http://127.0.0.1:30000")
        try:
            with urllib.request.urlopen(self._request(address), timeout=_TIMEOUT_SECONDS) as answer:
                return msgspec.json.decode(answer.read(), type=_Page)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code == 401:
                raise NoLiveTraffic(f"{self.proxy}: needs the right --admin-key") from error
            raise NoLiveTraffic(
                f"{self.proxy}: answers {error.code} to {ROUTE}; is it `specwatch serve`, and does "
                "its version keep the acceptance of attempts?"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise NoLiveTraffic(f"{self.proxy}: cannot be reached ({error})") from error
        except msgspec.MsgspecError as error:
            raise NoLiveTraffic(
                f"{self.proxy}: {ROUTE} answers something else ({error})"
            ) from error
