"""An independent reading of HTTP/1.1 requests: the grammar of RFC 9112, and nothing more lenient.

It is the judge between the proxy and what arrives behind it, so it shares no code with either.
"""

import re
from dataclasses import dataclass, field

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +(/[!-\"$-~]*) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?")


class NotStrict(Exception):
    """The bytes are no request; the message says why."""


class _Unfinished(Exception):
    """More bytes must come."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a strict reader understands it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(slots=True)
class Reading:
    """All requests of one connection's bytes.

    Attributes:
        rest: bytes of a request that is not finished.
        error: why the bytes after the requests are none; the connection must end there.
    """

    requests: list[Request] = field(default_factory=list)
    rest: bytes = b""
    error: str | None = None


def read_requests(data: bytes) -> Reading:
    """Reads to the end, or to the first thing that a strict server would refuse."""
    reading = Reading(rest=data)
    while reading.rest:
        scan = _Scan(reading.rest)
        try:
            request = scan.request()
        except _Unfinished:
            return reading
        except NotStrict as error:
            reading.error = str(error)
            return reading
        reading.requests.append(request)
        reading.rest = reading.rest[scan.position :]
    return reading


class _Scan:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def request(self) -> Request:
        # Empty lines before the request line are to be ignored, and several blanks in it may be
        # one (RFC 9112, 2.2 and 3): neither can move the end of a request.
        while self._data.startswith((b"\r", b"\n"), self.position):
            self.position += 1
        line = self._line()
        matched = _REQUEST_LINE.fullmatch(line)
        if matched is None:
            raise NotStrict(f"request line {line[:40]!r}")
        headers = self._fields()
        names = [name for name, _ in headers]
        is_old = matched[3] == b"0"
        if names.count("host") > 1 or ("host" not in names and not is_old):
            raise NotStrict("not exactly one host")
        for name, value in headers:
            if name == "host" and not re.fullmatch(r"[A-Za-z0-9.\-_~:\[\]%]*", value):
                raise NotStrict(f"host {value!r}")
        body = self._body(headers, is_old)
        return Request(matched[1].decode(), matched[2].decode(), tuple(headers), body)

    def _body(self, headers: list[tuple[str, str]], is_old: bool) -> bytes:
        lengths = [value for name, value in headers if name == "content-length"]
        codings = [value for name, value in headers if name == "transfer-encoding"]
        if codings and (lengths or is_old or len(codings) > 1 or codings[0].lower() != "chunked"):
            raise NotStrict("transfer-encoding")
        if codings:
            return self._chunks()
        if not lengths:
            return b""
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
            raise NotStrict("content-length")
        return self._take(int(lengths[0]))

    def _chunks(self) -> bytes:
        body = b""
        while True:
            line = self._line()
            matched = _CHUNK.fullmatch(line)
            if matched is None:
                raise NotStrict(f"chunk size {line[:40]!r}")
            size = int(matched[1], 16)
            if size == 0:
                self._fields()  # trailers
                return body
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise NotStrict("no line end after a chunk")

    def _fields(self) -> list[tuple[str, str]]:
        found = []
        while line := self._line():
            matched = _FIELD.fullmatch(line)
            if matched is None:
                raise NotStrict(f"field line {line[:40]!r}")
            found.append((matched[1].decode().lower(), matched[2].decode("latin-1")))
        return found

    def _line(self) -> bytes:
        """Up to CR LF; neither may stand alone."""
        end = self._data.find(b"\r\n", self.position)
        line = self._data[self.position : None if end < 0 else end]
        if b"\n" in line or b"\r" in line.removesuffix(b"\r" if end < 0 else b""):
            raise NotStrict("a CR or LF alone")
        if end < 0:
            raise _Unfinished
        self.position = end + 2
        return line

    def _take(self, size: int) -> bytes:
        if len(self._data) - self.position < size:
            raise _Unfinished
        self.position += size
        return self._data[self.position - size : self.position]
