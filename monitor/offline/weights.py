"""The file of the fusion's weights."""

import json
from pathlib import Path

from detectors.fusion.weights import FusionWeights, packaged_weights
from monitor.offline.errors import BadWeights


def load_weights(path: Path | None) -> FusionWeights:
    """What ``specwatch train`` wrote; the packaged ones without a file.

    Raises:
        BadWeights: not readable, or something else.
    """
    if path is None:
        return packaged_weights()
    try:
        return FusionWeights.from_dict(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BadWeights(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadWeights(f"{path} is not what `specwatch train --out` writes ({error})") from error
