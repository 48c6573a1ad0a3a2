"""A rank of the tiny model in a process of its own: ``python -m tests.fakes.rank_worker``.

Arguments: the store's port, the rank's number, how many there are, ``split`` or ``replicated``.
"""

import sys
from datetime import timedelta

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped

from inference_backend.parallel.owners import KvLayout
from tests.fakes.rank_threads import Case, make_worker

HOST = "127.0.0.1"


def case_of(ranks: int, layout: str) -> Case:
    return Case(ranks=ranks, layout=KvLayout(layout), sparse=True)


def main() -> None:
    port, name, ranks, layout = sys.argv[1:]
    torch.set_num_threads(1)
    store = TCPStore(HOST, int(port), is_master=False, timeout=timedelta(seconds=60))
    print("ready", flush=True)
    make_worker(case_of(int(ranks), layout), store, int(name)).run()


if __name__ == "__main__":
    main()
