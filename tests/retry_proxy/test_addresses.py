"""Which addresses may become replicas, and where connections to them may go."""

import pytest

from retry_proxy.addresses import AddressRules
from retry_proxy.config import ProxyConfig
from retry_proxy.errors import ConnectFailed, InvalidConfig, RefusedAddress
from retry_proxy.fleet.resolver import CheckedResolver
from retry_proxy.stream.sockets import SocketUpstream
from tests.fakes.raw_server import raw_server

# Never, whatever is allowed.
FORBIDDEN = [
    "http://169.254.169.254",
    "http://169.254.169.254:80/latest",
    "http://169.254.170.2",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]:30000",
    "http://[fd00:ec2::254]",
    "http://[fe80::1]",
    "http://[fe80::1%25eth0]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::]",
    "http://[::]",
    "http://0.0.0.0:30000",
    "http://0.1.2.3",
    "http://0",
    "http://[::ffff:0.0.0.0]",
    "http://100.100.100.200",
    "http://168.63.129.16",
    "http://255.255.255.255",
    "http://224.0.0.1",
    "http://2852039166",
    "http://0xa9fea9fe",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://0x7f.1",
    "http://metadata.google.internal",
    "http://METADATA.google.internal.",
    "file:///etc/passwd",
    "gopher://10.0.0.1:6379/_x",
    "unix:///run/docker.sock",
    "//10.0.0.1",
    "10.0.0.1:30000",
    "http://",
    "http:///path",
    "http://user:secret@10.0.0.1",
    "http://user@10.0.0.1",
    "http://10.0.0.1@169.254.169.254",
    "http://10.0.0.1?x=1",
    "http://10.0.0.1#x",
    "http://10.0.0.1:99999",
    "http://10.0.0.1:port",
    "http://10.0.0.1\\@169.254.169.254",
    "http://10.0.0.1/\r\nHost: a",
    "http://10.0.0.1 ",
    "http://[::1",
    "http://\u2170.example",
]


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize("allowed", [(), ("0.0.0.0/0", "::/0", "*.internal", "*.example")])
def test_what_is_never_a_replica(address: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(RefusedAddress):
        AddressRules(allowed).check(address)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:1", "https://engine:30000", "http://[::1]:2/base", "http://10.1.2.3/"],
)
def test_without_a_list_everything_else_is_allowed(address: str) -> None:
    assert AddressRules().check(address) == address.rstrip("/")


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("http://10.1.2.3:30000", True),
        ("http://10.2.0.1", False),
        ("http://[::ffff:10.1.2.3]", False),
        ("http://gpu-1", True),
        ("http://a.pods.example", True),
        ("http://pods.example", True),  # may resolve into the network: asked when it is connected
    ],
)
def test_the_operators_list(address: str, is_allowed: bool) -> None:
    rules = AddressRules(("10.1.0.0/16", "gpu-1", "*.pods.example"))
    if is_allowed:
        rules.check(address)
    else:
        with pytest.raises(RefusedAddress, match="allowed"):
            rules.check(address)


def test_a_list_of_names_alone_refuses_other_names() -> None:
    rules = AddressRules(("gpu-1", "*.pods.example"))
    for address in ("http://gpu-2", "http://evilpods.example", "http://10.0.0.1"):
        with pytest.raises(RefusedAddress):
            rules.check(address)


@pytest.mark.parametrize("entry", ["", "http://a", "10.0.0.0/99", "a b", "a:1"])
def test_a_bad_entry_of_the_list_is_named(entry: str) -> None:
    with pytest.raises(InvalidConfig, match="allow_addresses"):
        ProxyConfig(replicas=("http://a",), allow_addresses=(entry,))


def test_flags_are_checked_too() -> None:
    with pytest.raises(InvalidConfig, match="metadata"):
        ProxyConfig(replicas=("http://169.254.169.254",))


async def get(upstream: SocketUpstream, url: str) -> int:
    try:
        response = await upstream.open("GET", url, headers=[], body=None, timeout_seconds=2.0)
        response.close()
        return response.status
    finally:
        await upstream.close()


@pytest.mark.parametrize(
    ("allowed", "ip", "is_reached"),
    [
        ((), "127.0.0.1", True),
        (("127.0.0.0/8",), "127.0.0.1", True),
        (("engine.example",), "127.0.0.1", True),
        (("10.0.0.0/8",), "127.0.0.1", False),
        ((), "169.254.169.254", False),
        (("engine.example",), "::ffff:169.254.169.254", False),
    ],
)
async def test_a_name_that_moves_is_caught_when_it_is_connected(
    allowed: tuple[str, ...], ip: str, is_reached: bool
) -> None:
    """DNS rebinding: the address was fine when it was registered."""
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    async with raw_server(lambda _: ok) as server:
        port = int(server.address.rpartition(":")[2])

        async def resolve(host: str, port: int) -> list[str]:
            return [ip]

        upstream = SocketUpstream(1.0, resolve=CheckedResolver(AddressRules(allowed), resolve))
        if is_reached:
            assert await get(upstream, f"http://engine.example:{port}/") == 200
        else:
            with pytest.raises(ConnectFailed, match="allowed"):
                await get(upstream, f"http://engine.example:{port}/")
            assert server.lines == []


async def test_redirects_are_not_followed() -> None:
    async with raw_server(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as inner:
        head = f"HTTP/1.1 307 T\r\nlocation: {inner.address}/\r\ncontent-length: 0\r\n\r\n"
        async with raw_server(lambda _: head.encode()) as outer:
            assert await get(SocketUpstream(1.0), outer.address + "/") == 307
    assert inner.lines == []
