"""One rank's share of a pass: the plain model over its rows, with an attention that is handed in.

The model does not know of it. All ranks run this with the same batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function

from inference_backend.kv.attention import AttentionBackend
from inference_backend.kv.epochs import MOVER_BITS
from inference_backend.kv.group import Group
from inference_backend.model.transformer import Transformer
from inference_backend.parallel.batch import Batch, Part
from inference_backend.parallel.channel import Channel
from inference_backend.parallel.exchange import NewRows, begin_gather
from inference_backend.parallel.layouts import Layout
from inference_backend.parallel.rows import Rows, lay_out
from inference_backend.parallel.schedule import Unit
from inference_backend.sparse.attention import BoundSparse, SparseAttention
from inference_backend.sparse.indexer import Turns
from inference_backend.sparse.select import Chosen

ROWS_AT_ONCE = 1024
"""Of one sequence: scores and masks take rows times keys, which long contexts have many of."""

OnLayer = Callable[[int], None]
"""Told of each layer that a rank has computed; if it stores the layer, that is done too."""


@dataclass(frozen=True, slots=True)
class Computing:
    """What a rank computes with.

    Attributes:
        full: attention over the layout's view.
        sparse: the same over chosen keys; ``None``: full attention.
    """

    model: Transformer
    channel: Channel
    layout: Layout
    full: AttentionBackend
    sparse: SparseAttention | None


@dataclass(frozen=True, slots=True)
class Computed:
    """Of all rows, on every rank.

    Attributes:
        hidden: ``[N, hidden]`` final states.
        flags: ``[chunks]`` int32, not 0 where some rank read a page that was not what it should be.
    """

    hidden: Tensor
    flags: Tensor


def _pieces(run: range) -> list[range]:
    return [run[start : start + ROWS_AT_ONCE] for start in range(0, len(run), ROWS_AT_ONCE)]


class _Run:
    """Rows of one chunk that follow one another, of this rank."""

    def __init__(self, computing: Computing, part: Part, run: range, flags: Tensor) -> None:
        device, table = flags.device, computing.layout.table(part)
        expected = None
        if part.epochs is not None:
            expected = torch.tensor([part.epochs], dtype=torch.long, device=device)
        pages = torch.tensor([table], dtype=torch.long, device=device)
        first = torch.tensor([run.start], device=device)
        checked = None if expected is None else flags
        group = Group(pages, first, len(run), expected, checked)
        self.rows, self.full = len(run), computing.full.bind(group)
        self.sparse: BoundSparse | None = None
        if computing.sparse is not None:
            bound = BoundSparse(computing.sparse, group)
            self.sparse = bound if bound.is_sparse else None


class Pass:
    """One batch on one rank.

    Args:
        on_layer: told of each layer that was computed; if it is stored here, that is done.
    """

    def __init__(self, computing: Computing, batch: Batch, on_layer: OnLayer) -> None:
        self._computing, self._on_layer = computing, on_layer
        self._batch = batch
        layout, channel = computing.layout, computing.channel
        size, self._device = layout.view.page_size, layout.view.device
        self._rows: Rows = lay_out(batch.parts, channel.rank, channel.ranks, size, self._device)
        self._steps = layout.begin(batch.parts, self._rows)
        flags = torch.zeros(len(batch.parts), dtype=torch.int32, device=self._device)
        self._flags = flags
        self._runs = [
            [
                _Run(computing, part, piece, flags[index : index + 1])
                for run in self._rows.shares[index]
                for piece in _pieces(run)
            ]
            for index, part in enumerate(batch.parts)
        ]
        self._tables = [self._numbers(layout.table(part)) for part in batch.parts]
        self._expected = [
            None if part.epochs is None else self._numbers(part.epochs) for part in batch.parts
        ]
        self._positions = self._rows.positions.index_select(0, self._rows.own)
        self._turns: Turns | None = None
        if computing.sparse is not None:
            self._turns = computing.sparse.indexer.turns(self._positions)
        tags = self._rows.tags
        self._tags = None if tags is None else tags.index_select(0, self._rows.own)

    def _numbers(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)

    def run(self, check: Callable[[], None]) -> Computed:
        """``check`` is called before the others hear that this rank is done; it may raise.

        Raises:
            RanksLost: another rank does not answer.
        """
        tokens = torch.tensor(self._batch.token_ids, device=self._device)
        own = tokens.index_select(0, self._rows.own)
        hidden = self._without_rows() if not len(own) else self._model(own)
        check()
        return self._collect(hidden)

    def _model(self, tokens: Tensor) -> Tensor:
        states: Tensor = self._computing.model(tokens, self._positions, self._attend)
        return states

    def _without_rows(self) -> Tensor:
        """Fewer rows than ranks: this one only takes part in what is sent."""
        shape, weight = self._computing.model.shape, self._computing.model.norm
        query = weight.new_empty((0, shape.num_heads, shape.head_dim))
        key = weight.new_empty((0, shape.num_kv_heads, shape.head_dim))
        for layer in range(shape.num_layers):
            self._attend(layer, query, key, key)
        return weight.new_empty((0, shape.hidden_size))

    def _collect(self, hidden: Tensor) -> Computed:
        channel = self._computing.channel
        states = NewRows(channel, self._rows, hidden, None)
        flags, pending = begin_gather(channel, self._flags)
        everything = states.get()[0]
        pending.wait()
        return Computed(everything, flags.amax(0))

    def _attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See ``model.transformer.Attend``: rows of this rank, context of all."""
        layout, channel = self._computing.layout, self._computing.channel
        index = self._new_index(layer, key)
        kv = NewRows(channel, self._rows, torch.stack([key, value], dim=1), self._tags)
        count, first, attended = len(self._runs), 0, [query[:0]]
        for step in self._steps[layer * count : (layer + 1) * count]:
            for unit in step.issue:
                with record_function("layersplit::issue"):
                    layout.issue(unit)
            end = first + sum(run.rows for run in self._runs[step.unit.group])
            rows = slice(first, end)
            attended += self._unit(step.unit, query[rows], key[rows], value[rows], index, kv)
            self._check_end(step.unit)
            layout.end(step.unit)
            first = end
        self._on_layer(layer)
        return torch.cat(attended)

    def _check_end(self, unit: Unit) -> None:
        """The first tags, after reading: nothing was written over meanwhile (``page_check``)."""
        expected, view = self._expected[unit.group], self._computing.layout.view
        if expected is None:
            return
        place, pages = self._computing.layout.place(unit), self._tables[unit.group]
        for part in view.parts:
            differs = part.heads[place].index_select(0, pages) >> MOVER_BITS != expected
            self._flags[unit.group].bitwise_or_(differs.any().to(self._flags.dtype))

    def _new_index(self, layer: int, key: Tensor) -> NewRows | None:
        sparse = self._computing.sparse
        if sparse is None:
            return None
        assert self._turns is not None
        keys = sparse.indexer.layer(layer).index_keys(key, self._turns)
        return NewRows(self._computing.channel, self._rows, keys.to(key.dtype), self._tags)

    def _unit(
        self,
        unit: Unit,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        index: NewRows | None,
        kv: NewRows,
    ) -> list[Tensor]:
        """One sequence in one layer: choose keys, wait for them, attend."""
        layout, runs = self._computing.layout, self._runs[unit.group]
        place, sizes = layout.place(unit), [run.rows for run in runs]
        queries, keys, values = (torch.split(each, sizes) for each in (query, key, value))
        chosen: list[Chosen | None] = [None] * len(runs)
        if index is not None:
            with record_function("layersplit::wait_index"):
                layout.put_index(unit, index)
            with record_function("layersplit::indexer"):
                chosen = [
                    None if run.sparse is None else run.sparse.choose(unit.layer, rows, place)
                    for run, rows in zip(runs, queries, strict=True)
                ]
        with record_function("layersplit::wait_kv"):
            layout.put_kv(unit, kv)
        with record_function("layersplit::attention"):
            return [
                _attend_run(run, place, rows, key, value, choice)
                for run, rows, key, value, choice in zip(
                    runs, queries, keys, values, chosen, strict=True
                )
            ]


def _attend_run(
    run: _Run, place: int, query: Tensor, key: Tensor, value: Tensor, chosen: Chosen | None
) -> Tensor:
    if run.sparse is None or chosen is None:
        return run.full(place, query, key, value)
    return run.sparse.attend(place, query, key, value, chosen)
