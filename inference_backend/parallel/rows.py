"""Where the rows of a pass stand: by rank and in the order of the prompts. Index tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.kv.epochs import Mover, tag_of
from inference_backend.parallel.batch import Part
from inference_backend.parallel.shares import Runs, num_rows, split_chunk


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of all chunks of a pass, ``N`` of them, ``n`` of this rank.

    Attributes:
        shares: this rank's runs of each chunk.
        own: ``[n]`` which of the ``N`` are this rank's.
        most: rows of the rank that has the most: others pad to it in exchanges.
        origin: ``[N]`` where each row lies in the ranks' padded rows, one rank after the other.
        positions: ``[N]``.
        pages: ``[N]`` the page of each row, in the store.
        begins: which rows begin a page.
        tags: ``[N]`` what stands beside the data of each row's page; ``None`` without a sanitizer.
        bounds: the first row of each chunk, and ``N``.
    """

    shares: list[Runs]
    own: Tensor
    most: int
    origin: Tensor
    positions: Tensor
    pages: Tensor
    begins: Tensor
    tags: Tensor | None
    bounds: list[int]


def lay_out(parts: list[Part], rank: int, ranks: int, page_size: int, device: torch.device) -> Rows:
    shares = [split_chunk(part.first, part.first + part.width, ranks) for part in parts]
    counts = [sum(num_rows(share[each]) for share in shares) for each in range(ranks)]
    bounds, most = [0], max(counts)
    for part in parts:
        bounds.append(bounds[-1] + part.width)
    origin = torch.empty(bounds[-1], dtype=torch.long)
    own: list[Tensor] = [torch.empty(0, dtype=torch.long)]
    for each in range(ranks):
        place = each * most
        for part, share, bound in zip(parts, shares, bounds, strict=False):
            for run in share[each]:
                rows = torch.arange(len(run)) + bound + run.start - part.first
                origin[rows] = torch.arange(place, place + len(run))
                place += len(run)
                if each == rank:
                    own.append(rows)
    positions = torch.cat([torch.arange(p.first, p.first + p.width) for p in parts])
    places = positions // page_size
    return Rows(
        [share[rank] for share in shares],
        torch.cat(own).to(device),
        most,
        origin.to(device),
        positions.to(device),
        _by_place([part.pages for part in parts], places, bounds).to(device),
        (positions % page_size == 0).nonzero().flatten().to(device),
        _tags(parts, places, bounds, device),
        bounds,
    )


def _by_place(values: list[list[int]], places: Tensor, bounds: list[int]) -> Tensor:
    chunks = zip(values, bounds, bounds[1:], strict=False)
    return torch.cat([torch.tensor(each)[places[first:end]] for each, first, end in chunks])


def _tags(
    parts: list[Part], places: Tensor, bounds: list[int], device: torch.device
) -> Tensor | None:
    epochs = [part.epochs for part in parts if part.epochs is not None]
    if len(epochs) < len(parts):
        return None
    tags = [[tag_of(epoch, Mover.COMPUTE) for epoch in each] for each in epochs]
    return _by_place(tags, places, bounds).to(device)
