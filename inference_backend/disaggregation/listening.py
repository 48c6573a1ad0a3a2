"""Keeps the listening sockets of a library that binds all interfaces to one address. Linux, IPv4.

Mooncake's TCP transport and its handshake listen on 0.0.0.0 whatever address they are given, and
whoever reaches the former may write into the process's memory. The sockets are this process's, so a
packet filter can be put on them: it is asked before a connection begins, needs no privilege, and
accepted connections inherit it. See socket(7), SO_ATTACH_FILTER.
"""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: ``struct sock_filter``."""

SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python's socket module does not name it
NETWORK_HEADER = 0x1_0000_0000 - 0x100000  # SKF_NET_OFF: loads count from the IP header
DESTINATION = 16  # its offset in an IPv4 header
LOAD_BYTE, LOAD_WORD, AND, JUMP_EQUAL, RETURN = 0x30, 0x20, 0x54, 0x15, 0x06
DROP, PASS = 0, 0xFFFF_FFFF


def filter_to(address: str) -> list[Instruction]:
    """Passes IPv4 packets that were sent to ``address``, drops all else.

    Raises:
        OSError: it is no IPv4 address.
    """
    (wanted,) = struct.unpack("!I", socket.inet_pton(socket.AF_INET, address))
    return [
        (LOAD_BYTE, 0, 0, NETWORK_HEADER),
        (AND, 0, 0, 0xF0),
        (JUMP_EQUAL, 0, 2, 0x40),  # IP version 4
        (LOAD_WORD, 0, 0, NETWORK_HEADER + DESTINATION),
        (JUMP_EQUAL, 1, 0, wanted),
        (RETURN, 0, 0, DROP),
        (RETURN, 0, 0, PASS),
    ]


def restrict(descriptors: set[int], host: str) -> None:
    """These listening sockets answer only what was sent to ``host``.

    Raises:
        OSError: not on this system, or ``host`` is no IPv4 address or name of one.
    """
    program = filter_to(socket.gethostbyname(host))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    option = struct.pack("HP", len(program), ctypes.addressof(code))
    for descriptor in descriptors:
        with _opened(descriptor) as each:
            each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)


def listening() -> set[int]:
    """Descriptors of this process's TCP sockets that listen; empty where there is no /proc."""
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # closed meanwhile, or no socket
            if str(entry.readlink()).startswith("socket:"):
                with _opened(int(entry.name)) as each:
                    is_tcp = each.family in (socket.AF_INET, socket.AF_INET6)
                    if is_tcp and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.add(int(entry.name))
    return found


@contextlib.contextmanager
def _opened(descriptor: int) -> Iterator[socket.socket]:
    """The socket itself stays open: this is a second descriptor of it."""
    with socket.socket(fileno=os.dup(descriptor)) as each:
        yield each
