"""What ranks open is for ranks of this machine."""

import os
import socket
import threading
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped

from inference_backend.disaggregation.listening import listening
from inference_backend.parallel.channel import GroupChannel
from inference_backend.parallel.job import HOST
from inference_backend.parallel.processes import serve_store


def address_of(descriptor: int) -> str:
    with socket.socket(fileno=os.dup(descriptor)) as each:
        return str(each.getsockname()[0])


def test_ranks_listen_on_the_loopback_only() -> None:
    """Who reaches the store tells the ranks what to do; gloo would take the host name's address."""
    before = listening()
    store = serve_store()
    other = TCPStore(HOST, store.port, is_master=False, timeout=timedelta(seconds=20))
    channels: list[GroupChannel] = []

    def join(rank: int) -> None:
        channels.append(GroupChannel([store, other][rank], rank, 2, "gloo", 20.0))

    ranks = [threading.Thread(target=join, args=(rank,)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(20.0)
    opened = [address_of(descriptor) for descriptor in listening() - before]
    for channel in channels:
        channel.close()
    assert len(channels) == 2
    assert opened
    assert set(opened) == {HOST}
