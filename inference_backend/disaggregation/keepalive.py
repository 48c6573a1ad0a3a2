"""Notices a peer whose machine is gone: nothing else would, while there is nothing to say."""

import asyncio
import socket

IDLE_SECONDS, INTERVAL_SECONDS, PROBES = 10, 5, 3
FENCED_SECONDS = IDLE_SECONDS + INTERVAL_SECONDS * PROBES
"""A machine that vanished is known to be gone after so long. A process that only hangs is not: its
kernel answers."""


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """The connection breaks ``FENCED_SECONDS`` after its other end vanished."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", IDLE_SECONDS),
        ("TCP_KEEPINTVL", INTERVAL_SECONDS),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", FENCED_SECONDS * 1000),  # the same for what was sent
    ):
        if hasattr(socket, name):  # not every system has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
