"""A bound for how deep a request's JSON is nested: what walks it later may recurse."""

from typing import Any, TypeAlias

from retry_proxy.errors import InvalidBody

MAX_DEPTH = 200

Container: TypeAlias = dict[str, Any] | list[Any]


def check_depth(raw: bytes, value: object) -> None:
    """Looks closer only where the text has more brackets than levels are allowed.

    Args:
        raw: the text of ``value``.

    Raises:
        InvalidBody: too deep.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    level = _within([value])
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidBody(f"the body is nested deeper than {MAX_DEPTH} levels")
        level = [child for container in level for child in _within(container)]


def _within(container: Container) -> list[Container]:
    children = container.values() if isinstance(container, dict) else container
    return [child for child in children if isinstance(child, dict | list)]
