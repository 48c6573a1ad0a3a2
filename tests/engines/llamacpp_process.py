"""llama.cpp's server on a port of this machine: ``python llamacpp_process.py MODEL PORT``.

Runs in its environment, where xllamacpp holds the server. It drafts for itself: every
greedy draft is right, but for ties.
"""

import signal
import sys

import xllamacpp


def main(model: str, port: int) -> None:
    options = xllamacpp.CommonParams()
    options.model.path = model
    options.hostnames, options.port = ["127.0.0.1"], port
    options.n_ctx, options.n_parallel = 4096, 2
    options.cpuparams.n_threads = 2
    options.endpoint_metrics = options.endpoint_slots = True
    kinds = xllamacpp.common_speculative_type
    options.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    options.speculative.draft.mparams.path = model
    options.speculative.draft.n_max = 3
    server = xllamacpp.Server(options)
    print("listening", server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
