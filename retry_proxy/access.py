"""Who may use the data plane: keys, kept as SHA-256 hashes. Knows neither files nor the monitor."""

import uuid
from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

from retry_proxy.errors import InvalidConfig, error_body_for
from retry_proxy.headers import CREDENTIALS, closing_if_expected
from retry_proxy.stream.client import ClientStream

_HASH = "sha256:"
_DIGEST_BYTES = 32

RawHeaders = Sequence[tuple[bytes, bytes]]


class ApiKeys:
    """A set of keys; only their hashes are kept.

    Args:
        digests: SHA-256 of each key.
    """

    def __init__(self, digests: Iterable[bytes]) -> None:
        self._digests = tuple(digests)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A key or ``sha256:HEX`` a line; empty lines and those that start with ``#`` say nothing.

        Raises:
            InvalidConfig: a line is neither, or there is none. Tells its number, not the line.
        """
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
        digests = [_digest_of(number, line) for number, line in lines if line and line[0] != "#"]
        if not digests:
            raise InvalidConfig("there is no key in it")
        return cls(digests)

    def accepts(self, key: bytes) -> bool:
        """One of the keys; all are compared, so that the time taken does not tell which."""
        digest = sha256(key).digest()
        is_known = False
        for known in self._digests:
            is_known |= compare_digest(digest, known)
        return is_known


class Gate:
    """An ASGI application behind keys.

    The client's credentials are for this hop: they go no further, and the engines' key goes in
    their place.

    Args:
        keys: ``None`` lets everybody in.
        engine_key: ``None`` if the engines need none.
    """

    def __init__(self, inner: ASGIApp, keys: ApiKeys | None, engine_key: str | None) -> None:
        self._inner = inner
        self._keys = keys
        self._engine_credentials = (
            [] if engine_key is None else [(b"authorization", b"Bearer " + engine_key.encode())]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if self._keys is not None and not any(map(self._keys.accepts, given_keys(headers))):
            await _refuse(scope, send)
            return
        others = [pair for pair in headers if pair[0].lower() not in CREDENTIALS]
        onward = {**scope, "headers": [*others, *self._engine_credentials]}
        await self._inner(onward, receive, send)


def given_keys(headers: RawHeaders) -> list[bytes]:
    """The keys in ``Authorization: Bearer`` and in Anthropic's ``x-api-key``."""
    given = [value for name, value in headers if name.lower() == b"x-api-key"]
    for name, value in headers:
        if name.lower() == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                given.append(key.strip())
    return given


def _digest_of(number: int, line: str) -> bytes:
    if line.startswith(_HASH):
        try:
            digest = bytes.fromhex(line.removeprefix(_HASH))
        except ValueError:
            digest = b""
        if len(digest) != _DIGEST_BYTES:
            raise InvalidConfig(f"line {number} must be sha256: and 64 hexadecimal digits")
        return digest
    if not (line.isascii() and line.isprintable()) or " " in line:
        raise InvalidConfig(f"line {number} is no key: it must be visible ASCII without blanks")
    return sha256(line.encode()).digest()


async def _refuse(scope: Scope, send: Send) -> None:
    client = ClientStream(send, uuid.uuid4().hex, error_body_for(scope["path"]))
    message = "a valid API key is needed: authorization: Bearer KEY, or x-api-key: KEY"
    headers = [("www-authenticate", "Bearer"), *closing_if_expected(scope["headers"])]
    await client.respond_error(401, "invalid_api_key", message, headers)
