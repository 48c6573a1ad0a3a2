"""``python -m inference_backend``: one engine replica; its flags are ``BackendOptions``' fields."""

import argparse
import dataclasses
import signal
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any

from inference_backend.errors import BackendError
from inference_backend.server.options import BackendOptions

DESCRIPTION = """\
Starts one replica of specwatch's own inference engine: speculative decoding over a paged KV
cache, served with SGLang's native API (/generate) and the OpenAI API (/v1/chat/completions and
/v1/completions).
"""
EXAMPLES = """\
examples:
  python -m inference_backend                         the default model on 127.0.0.1:30000
  python -m inference_backend --port 0 --device cpu   a free port, printed when ready
  python -m inference_backend --model ./my-llama      config.json, *.safetensors, tokenizer
  python -m inference_backend --admin-key secret      allow drills:
    curl -H 'Authorization: Bearer secret' -d '{"kind": "noise", "rate": 0.5}' \\
      localhost:30000/faults

ask it something:
  curl localhost:30000/v1/chat/completions \\
    -d '{"messages": [{"role": "user", "content": "Hello"}]}'

The spec_* counters are on every streamed chunk (stock SGLang: on the last one only).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after a clean stop, 1 if it cannot start, 2 for a wrong flag."""
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    try:
        options = BackendOptions(**vars(parsed))
    except ValueError as error:
        parser.error(str(error))
    try:
        from inference_backend.server.main import run  # noqa: PLC0415  # needs torch
    except ModuleNotFoundError as error:
        return fail(f"{error.name} is not installed: pip install 'specwatch[backend]'")
    signal.signal(signal.SIGTERM, leave)
    try:
        run(options)
    except BackendError as error:
        return fail(str(error))
    except KeyboardInterrupt:  # before the web server took over the signals
        return 130
    return 0


def leave(signal_number: int, frame: types.FrameType | None) -> None:
    """Ends through the ``finally`` clauses: half a converted model is removed, the engine stopped.

    The web server handles the signal itself while it serves and sends it once more at its end.
    """
    sys.exit(0)


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def build_parser() -> argparse.ArgumentParser:
    """One flag a field: ``max_running`` becomes ``--max-running``."""
    parser = argparse.ArgumentParser(
        prog="python -m inference_backend",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = typing.get_type_hints(BackendOptions)
    for field in dataclasses.fields(BackendOptions):
        add_flag(parser, field, kinds[field.name])
    return parser


def add_flag(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], kind: object) -> None:
    flag = "--" + field.name.replace("_", "-")
    default = "" if field.default is None else f" (default: {field.default})"
    text = field.metadata["help"].replace("%", "%%") + default
    if kind is bool:
        action = argparse.BooleanOptionalAction
        parser.add_argument(flag, action=action, default=field.default, help=text)
        return
    choices = field.metadata["choices"]
    parser.add_argument(
        flag,
        type=value_type(kind),
        default=field.default,
        choices=choices,
        metavar=None if choices else field.name.rsplit("_", 1)[-1].upper(),
        help=text,
    )


def value_type(kind: object) -> type:
    """``int`` of ``int | None``."""
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    assert isinstance(kind, type)
    return kind


if __name__ == "__main__":
    sys.exit(main())
