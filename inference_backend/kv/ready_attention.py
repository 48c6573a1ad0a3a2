"""Full attention that waits for each layer's cache before it reads it."""

from torch import Tensor

from inference_backend.kv.attention import AttentionBackend
from inference_backend.kv.group import Group
from inference_backend.kv.readiness import Readiness
from inference_backend.model.transformer import Attend


class ReadyAttention:
    """Put around another backend."""

    def __init__(self, inner: AttentionBackend, readiness: Readiness) -> None:
        self._inner, self._readiness = inner, readiness

    def bind(self, group: Group) -> Attend:
        attend, readiness = self._inner.bind(group), self._readiness

        def attend_when_ready(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            readiness.before_kv(layer)
            return attend(layer, query, key, value)

        return attend_when_ready
