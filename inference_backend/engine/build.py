"""Puts an engine together from weights and options."""

import torch

from inference_backend.engine.decode import DecodeStep
from inference_backend.engine.engine import Engine
from inference_backend.engine.graphs import GraphedDecode
from inference_backend.engine.inspection import Inspection
from inference_backend.engine.options import DTYPES, EngineOptions, settle
from inference_backend.engine.page_tables import PageTables
from inference_backend.engine.runner import Runner
from inference_backend.engine.scheduler import Scheduler
from inference_backend.hicache.host_cache import HostCache
from inference_backend.hicache.readiness import LoadReadiness
from inference_backend.kv.attention import AttentionBackend, TorchAttention
from inference_backend.kv.lease import PageCache
from inference_backend.kv.readiness import Readiness
from inference_backend.kv.ready_attention import ReadyAttention
from inference_backend.kv.sanitizer import KvSanitizer, SanitizerMode
from inference_backend.kv.store import KvStore
from inference_backend.model.elementwise import compiled
from inference_backend.model.packed import pack
from inference_backend.model.transformer import Transformer, build_transformer
from inference_backend.model.weights import LoadedWeights
from inference_backend.sparse.attention import SparseAttention
from inference_backend.sparse.index_file import find_indexer, load_indexer
from inference_backend.sparse.indexer import Indexer
from inference_backend.speculative.head_file import LoadedHead, find_head, load_head
from inference_backend.speculative.proposer import Proposer


def build_engine(weights: LoadedWeights, options: EngineOptions) -> Engine:
    """The whole engine, without a thread.

    Raises:
        ModelUnavailable: the options do not fit the model or the machine.
    """
    options = settle(options, weights.config)
    model, indexer = build_target(weights, options)
    return assemble(model, load_draft(weights, options), options, indexer)


def build_target(
    weights: LoadedWeights, options: EngineOptions
) -> tuple[Transformer, Indexer | None]:
    """The model, and the indexer of sparse attention. ``options`` must be settled.

    Raises:
        ModelUnavailable: there is no indexer for this model.
    """
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    model = build_transformer(weights.config, weights.tensors, device, dtype)
    if not options.is_sparse:
        return model, None
    path = find_indexer(weights.config, options.indexer)
    return model, load_indexer(path, weights.config, device, dtype)


def load_draft(weights: LoadedWeights, options: EngineOptions) -> LoadedHead | None:
    """The draft head, unless speculation is off or there is none for this model.

    ``options`` must be settled.
    """
    if options.num_drafts == 0:
        return None
    path = find_head(weights.config, options.draft_head)
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    return None if path is None else load_head(path, weights.config, device, dtype)


def assemble(
    model: Transformer,
    head: LoadedHead | None,
    options: EngineOptions,
    indexer: Indexer | None = None,
) -> Engine:
    """The engine around given models, which become for inference only.

    ``options`` must be settled.
    """
    assert options.kv_tokens is not None
    num_pages = max(2, options.kv_tokens // options.page_size)
    weight, shape = model.norm, model.shape
    index_dim = None if indexer is None else indexer.shape.dim
    store = KvStore(shape, num_pages, options.page_size, weight.device, weight.dtype, index_dim)
    readiness = LoadReadiness(options.load_sync)
    attention = _attention(store, indexer, options.index_topk, readiness)
    if weight.device.type == "cuda" and options.cuda_graphs:
        model.ops = compiled()
    return assemble_around(model, head, options, store, attention, readiness)


def assemble_around(
    model: Transformer,
    head: LoadedHead | None,
    options: EngineOptions,
    store: KvStore,
    attention: AttentionBackend,
    readiness: LoadReadiness,
) -> Engine:
    """As ``assemble``, with a cache and an attention of one's own."""
    proposer = None
    if head is not None and options.num_drafts > 0:
        pack(head.head)
        head.head.ops = model.ops
        proposer = Proposer(
            model,
            head,
            store,
            attention,
            options.num_drafts,
            options.max_running,
            options.draft_vocabulary,
        )
    pack(model)
    cache = PageCache(store.num_pages, options.page_size)
    # A step verifies D drafts beyond the last token; if all are kept, the next D are drafted
    # behind them.
    lookahead = 2 * options.num_drafts if proposer else 0
    scheduler = Scheduler(cache, options.max_running, options.chunk_tokens, lookahead)
    runner = _runner(DecodeStep(model, store, attention, proposer), cache, options)
    engine = Engine(
        scheduler,
        runner,
        model.shape.max_context - lookahead - 1,
        frozenset(model.shape.eos_token_ids),
        _inspection(store, cache, options, runner.num_drafts),
    )
    if host_pages := options.host_kv_tokens // options.page_size:
        engine.use_host(HostCache(store, cache, host_pages, readiness))
    return engine


def _inspection(
    store: KvStore, cache: PageCache, options: EngineOptions, num_drafts: int
) -> Inspection | None:
    if options.sanitizer is SanitizerMode.OFF:
        return None
    return Inspection(KvSanitizer(options.sanitizer, store, cache), num_drafts + 1)


def _runner(step: DecodeStep, cache: PageCache, options: EngineOptions) -> Runner:
    """With CUDA graphs around the step on a GPU."""
    max_pages = min(cache.pool.num_pages, cache.pages_for(step.model.shape.max_context))
    tables = PageTables(options.max_running, max_pages)
    is_checked = options.sanitizer is not SanitizerMode.OFF
    if step.store.device.type == "cuda" and options.cuda_graphs:
        graphed = GraphedDecode(step, options.max_running, max_pages)
        return Runner(step, tables, graphed.run, is_checked=is_checked)
    return Runner(step, tables, step, is_checked=is_checked)


def _attention(
    store: KvStore, indexer: Indexer | None, topk: int, readiness: Readiness
) -> AttentionBackend:
    full = full_attention(store)
    if indexer is None:
        return ReadyAttention(full, readiness)
    return SparseAttention(store, full, indexer, topk, readiness)


def full_attention(store: KvStore) -> AttentionBackend:
    if store.device.type != "cuda":
        return TorchAttention(store)
    # Triton comes with CUDA builds of torch only.
    from inference_backend.kv.triton_attention import TritonAttention  # noqa: PLC0415

    return TritonAttention(store)
