"""``python -m inference_backend.parallel``: a rank, started by the first one's process.

Not for people: ``python -m inference_backend --role prefill --prefill-ranks N`` starts it, and
writes a ``Job`` to its standard input. It ends when the first rank says so or is gone.
"""

import logging
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped

from inference_backend.disaggregation.shared import SharedTransport
from inference_backend.engine.build import build_target
from inference_backend.errors import BackendError
from inference_backend.hicache.readiness import LoadReadiness
from inference_backend.model.packed import pack
from inference_backend.model.source import ModelFolder
from inference_backend.model.weights import load_weights
from inference_backend.parallel import job as jobs
from inference_backend.parallel.handover import OwnerSends
from inference_backend.parallel.job import HOST, Job
from inference_backend.parallel.rank import Rank, make_store
from inference_backend.parallel.rank_host import RankHost
from inference_backend.parallel.worker import Worker

CONNECT = timedelta(seconds=60)


def main() -> int:
    """Returns the exit status: 1 if the model cannot be loaded or the first rank is gone."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    job = jobs.decode(sys.stdin.buffer.read())
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    try:
        # A connection does one thing at a time, waiting included: one for each thread.
        commands, asks = connect(job), connect(job)
        run(job, commands, asks)
    except (BackendError, dist.DistError) as error:
        print(f"error: rank {job.name}: {error}", file=sys.stderr)
        return 1
    return 0


def connect(job: Job) -> TCPStore:
    return TCPStore(HOST, job.port, is_master=False, timeout=CONNECT)


def run(job: Job, commands: TCPStore, asks: TCPStore) -> None:
    """Until the first rank says so, or is gone.

    Raises:
        ModelUnavailable: the model's files went, or are others, since the first rank read them.
    """
    weights = load_weights(ModelFolder(Path(job.folder), job.model))
    model, indexer = build_target(weights, job.engine)
    pack(model)
    readiness = LoadReadiness(job.engine.load_sync)
    kv = make_store(model, indexer, job.rank)
    rank = Rank(model, indexer, kv, readiness, job.rank)
    host = RankHost(kv, job.rank.host_slots, readiness) if job.rank.host_slots else None
    sends = OwnerSends(asks, job.name, rank, SharedTransport(kv, rank.place))
    worker = Worker(commands, job.name, rank, host)
    worker.on_layer = sends.progress.computed
    worker.run()


if __name__ == "__main__":
    sys.exit(main())
