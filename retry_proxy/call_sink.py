"""Who wants to see what clients ask for, as it comes. Off unless the operator switched it on."""

from typing import Protocol

from retry_proxy.engines.call import GenerationCall


class CallSink(Protocol):
    """Gets every generation request, before its first attempt.

    Must not block, must not raise, and must not change the call. The end of a watched one is told
    as ``RequestEnded`` with the same id; of one that passes through nothing more is told.
    """

    def began(self, request_id: str, call: GenerationCall) -> None: ...
