"""A prefill on several processes of this machine: the first rank is this one and starts the others.

Those end with it: by a word, and if it is killed, because the store that it serves is gone.
"""

import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped

from inference_backend.disaggregation.messages import layout_of
from inference_backend.disaggregation.roles import PrefillRole, make_prefill
from inference_backend.disaggregation.shared import SharedTransport
from inference_backend.engine.build import build_target, load_draft
from inference_backend.engine.options import EngineOptions, settle
from inference_backend.model.source import ModelFolder
from inference_backend.model.weights import LoadedWeights
from inference_backend.parallel import job as jobs
from inference_backend.parallel.handover import OwnersTransport
from inference_backend.parallel.job import HOST, Job, rank_options
from inference_backend.parallel.leader import Leader, make_leader
from inference_backend.parallel.meeting import Caller
from inference_backend.parallel.owners import KvLayout

log = logging.getLogger(__name__)
OPERATION = timedelta(seconds=60)
START_SECONDS = 300.0
"""Until the slowest rank has loaded the model."""
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """The first rank, and the store in which all meet.

    Attributes:
        asks: a connection of its own to the store: one that waits does nothing else, and commands
            must not wait for an owner's answer.
    """

    leader: Leader
    asks: TCPStore

    def prefill_role(self, wait_seconds: float) -> PrefillRole:
        """``wait_seconds``: see ``PrefillLink``."""
        leader, engine = self.leader, self.leader.engine
        store = engine.runner.store
        own = SharedTransport(store, leader.rank.place)
        transport = OwnersTransport(self.asks, leader, own)
        layout = layout_of(store, engine.runner.model.shape.name)
        role = make_prefill(engine, transport, layout, wait_seconds)
        engine.runner.on_layer = transport.after(role.sender.written)
        return role


@contextmanager
def leading(
    weights: LoadedWeights,
    folder: ModelFolder,
    options: EngineOptions,
    ranks: int,
    layout: KvLayout,
    threads: int | None,
) -> Iterator[Group]:
    """Starts the other ranks and waits for them; at the end they end.

    Raises:
        ModelUnavailable: see ``engine.build.build_engine``.
        RanksLost: a rank did not start; it has said why.
    """
    options = settle(options, weights.config)
    parallel = rank_options(options, weights.config, layout)
    commands = serve_store()
    job = Job(
        port=commands.port,
        name=0,
        folder=str(folder.path.resolve()),
        model=folder.name,
        engine=options,
        rank=parallel,
        threads=threads,
    )
    with started(job, range(1, ranks)) as children:
        model, indexer = build_target(weights, options)
        head = load_draft(weights, options)
        caller = Caller(commands, lambda name: children[name].poll() is None, START_SECONDS)
        leader = make_leader(model, head, options, parallel, indexer, commands, caller, ranks)
        asks = TCPStore(HOST, job.port, is_master=False, timeout=OPERATION)
        try:
            yield Group(leader, asks)
        finally:
            leader.stop()
            if leader.engine.host is not None:
                leader.engine.host.close()


def serve_store() -> TCPStore:
    """On the loopback alone: who reaches it can tell the ranks what to do.

    Given a port, torch would listen on all interfaces.
    """
    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    return TCPStore(
        HOST,
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=OPERATION,
        master_listen_fd=listener.detach(),
    )


@contextmanager
def started(job: Job, names: Sequence[int]) -> Iterator[dict[int, "subprocess.Popen[bytes]"]]:
    """Other ranks' processes; those that are left at the end are killed.

    They are in sessions of their own: Ctrl-C is the first rank's, which lets running prompts end.
    """
    children: dict[int, subprocess.Popen[bytes]] = {}
    command = [sys.executable, "-m", "inference_backend.parallel"]
    try:
        for name in names:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            children[name] = child
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError), child.stdin:  # dead already: noticed later
                child.stdin.write(jobs.encode(replace(job, name=name)))
        yield children
    finally:
        end(children)


def end(children: dict[int, "subprocess.Popen[bytes]"]) -> None:
    """They have been told; those that do not listen are killed."""
    deadline = time.monotonic() + STOP_SECONDS
    for name, child in children.items():
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("rank %d does not end and is killed", name)
            child.kill()
            child.wait()
