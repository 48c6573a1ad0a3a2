"""The network's inputs for every row of a text, as ``detectors.text.soup`` computes them."""

import numpy as np
from numpy.typing import NDArray

from detectors.text.soup import (
    BASE_FEATURES,
    CENTRE,
    EARLIER_SCALE,
    RECENT_BLOCKS,
    SETTLED_BLOCKS,
    WINDOW_BLOCKS,
)


def network_inputs(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shape (rows, inputs): sums of the last blocks, the stream's own earlier mean, its age."""
    centred = rows.astype(float) - CENTRE
    age = np.minimum(np.arange(1, len(rows) + 1), SETTLED_BLOCKS)[:, None]
    earlier = np.round(EARLIER_SCALE * _earlier_mean(centred))
    return np.hstack([_sums(centred, WINDOW_BLOCKS), _sums(centred, RECENT_BLOCKS), earlier, age])


def _sums(rows: NDArray[np.float64], blocks: int) -> NDArray[np.float64]:
    padded = np.vstack([np.zeros((blocks, rows.shape[1])), rows]).cumsum(0)
    return np.asarray(padded[blocks:] - padded[:-blocks])


def _earlier_mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean of what left the long window; zero before anything did."""
    result = np.zeros((len(rows), len(BASE_FEATURES)))
    mean = np.zeros(len(BASE_FEATURES))
    for index in range(WINDOW_BLOCKS, len(rows)):
        left = index - WINDOW_BLOCKS
        weight = 1 / min(left + 1, SETTLED_BLOCKS)
        mean = mean + (rows[left, list(BASE_FEATURES)] - mean) * weight
        result[index] = mean
    return result
