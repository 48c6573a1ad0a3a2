"""What the first rank's process tells another one when it starts it, and what both make of it."""

from dataclasses import dataclass

import msgspec

from inference_backend.engine.options import EngineOptions
from inference_backend.model.shape import LlamaShape
from inference_backend.parallel.owners import KvLayout
from inference_backend.parallel.rank import RankOptions

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Equal for all ranks but for ``name``.

    Attributes:
        port: of the store in which the ranks meet, on this machine's loopback.
        name: which rank; 0 is the first.
        folder, model: the model's files, and its name.
        engine: settled.
        threads: of each rank; ``None``: as torch chooses.
    """

    port: int
    name: int
    folder: str
    model: str
    engine: EngineOptions
    rank: RankOptions
    threads: int | None


encode = msgspec.json.encode
decode = msgspec.json.Decoder(Job).decode


def rank_options(engine: EngineOptions, shape: LlamaShape, layout: KvLayout) -> RankOptions:
    """Prompts of any length that the model takes, for a decode engine with a draft head's layer.

    ``engine`` must be settled. Ranks of one machine that write to one decode engine through shared
    memory are on its GPU, if it has one.
    """
    assert engine.kv_tokens is not None
    return RankOptions(
        layout=layout,
        num_pages=max(2, engine.kv_tokens // engine.page_size),
        page_size=engine.page_size,
        staged_tokens=shape.max_context,
        index_topk=engine.index_topk,
        has_draft=True,
        host_slots=engine.host_kv_tokens // engine.page_size,
        shares_device=True,
    )
