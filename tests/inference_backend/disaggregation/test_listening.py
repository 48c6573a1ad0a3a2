"""Sockets that listen on all interfaces answer on one address only: 127.0.0.2 is another one."""

import os
import socket

import pytest

from inference_backend.disaggregation.listening import filter_to, listening, restrict
from inference_backend.disaggregation.mooncake import MooncakeTransport, restrict_to
from tests.fakes.tiny_model import tiny_engine

ONE, OTHER = "127.0.0.1", "127.0.0.2"


def reaches(address: str, port: int, seconds: float) -> bool:
    """Whether a connection is taken up within so long."""
    try:
        socket.create_connection((address, port), seconds).close()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_only_the_given_address_is_answered(family: socket.AddressFamily) -> None:
    """A socket of both IP versions too: Mooncake's data comes in through one."""
    with socket.socket(family) as listener:
        if family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("0.0.0.0" if family is socket.AF_INET else "::", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert reaches(OTHER, port, 20.0)
        assert listener.fileno() in listening()
        restrict({listener.fileno()}, ONE)
        assert reaches(ONE, port, 20.0)
        assert not reaches(OTHER, port, 0.2)


@pytest.mark.mooncake
def test_mooncake_is_reached_on_its_own_address_only(caplog: pytest.LogCaptureFixture) -> None:
    before = listening()
    transport = MooncakeTransport(tiny_engine(pages=8).runner.store, ONE)
    ports = set()
    for descriptor in listening() - before:
        with socket.socket(fileno=os.dup(descriptor)) as each:
            ports.add(each.getsockname()[1])
    assert len(ports) == 2, "the handshake's and the data's"
    for port in ports:
        assert reaches(ONE, port, 20.0)
        assert not reaches(OTHER, port, 0.2)
    assert not caplog.records
    transport.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::1"])
def test_what_cannot_be_restricted_is_said(host: str, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server((ONE, 0)) as listener:
        restrict_to(host, {listener.fileno()})
    assert "listens on all interfaces" in caplog.text


def test_no_address_no_filter() -> None:
    with pytest.raises(OSError, match="illegal IP address"):
        filter_to("nowhere")
