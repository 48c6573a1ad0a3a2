"""Starts SGLang so that ``/generate`` tells the acceptance counters on every chunk.

    python -m retry_proxy.engines.sglang_launch --model-path ... (all flags of SGLang's own server)

Stock SGLang gets the counters of each request with every batch from its scheduler and fills them
into ``meta_info`` only once the request is finished. This has it fill them each time, with SGLang's
own method; the proxy reads them as live counters from the second chunk on. An option: without it
the proxy derives acceptance from the tokens of each chunk.

Written against the shape that ``TokenizerManager`` has in SGLang 0.5.5 to 0.5.23, as read in the
sources, with its handler of batches synchronous (older) or a coroutine (newer). **It has not been
run with a live SGLang**: the tests run it on a class of the same shape. It refuses to start on
another shape. It works for the one tokenizer of the server's main process: not with
``--tokenizer-worker-num`` above 1, not with the Rust frontend. Chat and completions do not put
``meta_info`` on their chunks, so nothing changes there. Imports nothing but the standard library
and, to start it, SGLang.
"""

import functools
import importlib
import inspect
import runpy
from collections.abc import Callable
from typing import Any

_HANDLER = "_handle_batch_output"
_FILL = "_calculate_spec_decoding_metrics"
_COUNTER = "spec_verify_ct"


class UnknownShape(Exception):
    """This SGLang is built otherwise than the versions this was written against."""


class FillingList(list[Any]):
    """A request's waiting chunks: fills in the counters of each that is put in."""

    def __init__(self, waiting: list[Any], fill: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(waiting)
        self._fill = fill

    def append(self, chunk: Any) -> None:
        if isinstance(chunk, dict) and isinstance(chunk.get("meta_info"), dict):
            self._fill(chunk["meta_info"])
        super().append(chunk)


def install(manager: type) -> None:
    """Changes the class of SGLang's tokenizer manager.

    Raises:
        UnknownShape: it lacks one of the two methods, or was changed already.
    """
    handler, fill = getattr(manager, _HANDLER, None), getattr(manager, _FILL, None)
    if handler is None or fill is None:
        raise UnknownShape(f"no {_HANDLER} or no {_FILL} in {manager.__name__}")
    if hasattr(handler, "__wrapped__"):
        raise UnknownShape(f"{_HANDLER} is wrapped already")
    setattr(manager, _HANDLER, _filling(handler))


def _filling(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, with every request's list of waiting chunks exchanged before it runs.

    Before, because newer handlers let the readers of a chunk run while they still work.
    """
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def handle_later(self: Any, batch: Any, *rest: Any, **named: Any) -> Any:
            _prepare(self, batch)
            return await handler(self, batch, *rest, **named)

        return handle_later

    @functools.wraps(handler)
    def handle(self: Any, batch: Any, *rest: Any, **named: Any) -> Any:
        _prepare(self, batch)
        return handler(self, batch, *rest, **named)

    return handle


def _prepare(manager: Any, batch: Any) -> None:
    counts = getattr(batch, _COUNTER, None)
    if not counts:  # speculation is off, or these are embeddings
        return
    for index, rid in enumerate(batch.rids):
        state = manager.rid_to_state.get(rid)
        if state is not None and index < len(counts) and counts[index]:
            fill = functools.partial(_fill_in, manager, batch, index)
            state.out_list = FillingList(list(state.out_list), fill)


def _fill_in(manager: Any, batch: Any, index: int, meta_info: dict[str, Any]) -> None:
    if _COUNTER not in meta_info:  # the last chunk has them already
        getattr(manager, _FILL)(meta_info, batch, index)


def main() -> None:
    """Changes the class, then runs SGLang's server with this command line."""
    module = importlib.import_module("sglang.srt.managers.tokenizer_manager")
    install(module.TokenizerManager)
    runpy.run_module("sglang.launch_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
