"""A CUDA stream for each engine of a process."""

from contextlib import AbstractContextManager, nullcontext

import torch


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """A stream for the calling thread, so that two engines on a GPU do not wait for one another;
    nothing on a CPU.
    """
    if device.type != "cuda":
        return nullcontext()
    torch.cuda.synchronize(device)  # what made the engine ran on another stream
    return torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
