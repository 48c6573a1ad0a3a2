"""Which headers travel on. Hop-by-hop ones belong to one connection (RFC 9110, 7.6.1)."""

from collections.abc import Iterable

Headers = list[tuple[str, str]]

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What a client shows to be let in; it stops here where the proxy has keys of its own.
CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"cookie"})
# What a client says of where it comes from: anyone can, and no engine needs it.
_FORWARDED = frozenset({"forwarded", "x-real-ip"})
_FORWARDED_PREFIX = "x-forwarded-"
# A replica's own: the software behind, and what another replica could not make sense of.
_OWN_OF_REPLICA = frozenset({"server", "set-cookie"})
# Set anew for the connection to the replica.
_OWN_ON_PASS_THROUGH = frozenset({"host", "content-length", "expect"})
# A watched request's body is rewritten and its stream must come uncompressed.
_OWN_ON_GENERATION = _OWN_ON_PASS_THROUGH | {"content-type", "accept-encoding", "accept"}


def decode_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """ASGI's header pairs as text."""
    return [(name.decode("latin-1").lower(), _decode(value)) for name, value in raw]


def encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Header pairs as ASGI takes them. Bytes that are no UTF-8 come out as they came."""
    return [
        (name.lower().encode("latin-1"), value.encode("utf-8", "surrogateescape"))
        for name, value in headers
    ]


def for_upstream(headers: Headers) -> Headers:
    """A client's headers for a watched generation."""
    return [
        *_without_origin(_without(headers, _OWN_ON_GENERATION)),
        ("content-type", "application/json"),
        ("accept", "text/event-stream, application/json"),
    ]


def for_pass_through(headers: Headers) -> Headers:
    """A client's headers for a request that passes through verbatim."""
    return _without_origin(_without(headers, _OWN_ON_PASS_THROUGH))


def for_client(headers: Headers) -> Headers:
    """A replica's headers for the client. The server sets the date."""
    return _without(headers, _OWN_OF_REPLICA | {"date"})


def for_rewritten_body(headers: Headers | None) -> Headers:
    """A replica's headers for a body that was read as a whole."""
    own = frozenset({"content-length", "content-encoding", "date"})
    return _without(headers or [], own | _OWN_OF_REPLICA)


def authorization_only(headers: Headers) -> Headers:
    """What an abort on the client's behalf needs."""
    return [(name, value) for name, value in headers if name == "authorization"]


def closing_if_expected(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """For an answer before the body: a client that waits for ``100 Continue`` may send none."""
    is_expected = any(name.lower() == b"expect" for name, _ in raw)
    return [("connection", "close")] if is_expected else []


def _decode(value: bytes) -> str:
    """UTF-8, as it is written again, or the encoding that can say any byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _without_origin(headers: Headers) -> Headers:
    return [
        pair
        for pair in headers
        if pair[0] not in _FORWARDED and not pair[0].startswith(_FORWARDED_PREFIX)
    ]


def _without(headers: Headers, own: frozenset[str]) -> Headers:
    dropped = own
    for name, value in headers:
        if name.lower() == "connection":
            dropped = dropped | {token.strip().lower() for token in value.split(",")}
    return [
        (name, value)
        for name, value in headers
        if (lower := name.lower()) not in dropped and lower not in _HOP_BY_HOP
    ]
