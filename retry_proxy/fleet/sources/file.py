"""Replicas from a YAML file: ``replicas: [http://…, …]``, or the list alone."""

import asyncio
from pathlib import Path
from typing import Any

import yaml

from retry_proxy.fleet.sources.source import SourceUnavailable


class FileSource:
    """Read again and again; parsed only when its bytes have changed."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: bytes | None = None
        self._known: tuple[str, ...] = ()

    async def addresses(self) -> tuple[str, ...]:
        try:
            raw = await asyncio.to_thread(self._path.read_bytes)
        except OSError as error:
            raise SourceUnavailable(f"cannot read {self._path}: {error}") from error
        if raw != self._raw:
            self._known = _parse(raw, self._path)
            self._raw = raw
        return self._known

    async def news(self, interval_seconds: float) -> None:
        await asyncio.sleep(interval_seconds)

    async def close(self) -> None:
        """Holds nothing."""


def _parse(raw: bytes, path: Path) -> tuple[str, ...]:
    try:
        content: Any = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceUnavailable(f"{path} is not YAML: {error}") from error
    listed = content.get("replicas") if isinstance(content, dict) else content
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise SourceUnavailable(f"{path} must hold a list of addresses, or replicas: and the list")
    return tuple(listed)
