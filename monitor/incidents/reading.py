"""Incidents out of JSON, whoever wrote it and with whichever version. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from monitor.records import Incident


@dataclass(slots=True)
class Loaded:
    """What was read.

    Attributes:
        unreadable: pieces that are no incident, or not one that this version reads.
    """

    incidents: list[Incident] = field(default_factory=list)
    unreadable: int = 0

    def take(self, raw: bytes | msgspec.Raw) -> None:
        """Reads one more incident."""
        incident = read_incident(bytes(raw))
        if incident is None:
            self.unreadable += 1
        else:
            self.incidents.append(incident)

    def sort(self) -> "Loaded":
        """Newest first, each once: of several versions the one that was read last."""
        by_id = {one.id: one for one in self.incidents}
        self.incidents = sorted(by_id.values(), key=lambda one: one.at, reverse=True)
        return self


class _Page(msgspec.Struct):
    incidents: list[msgspec.Raw]


def read_page(body: bytes) -> Loaded:
    """What ``/api/incidents`` answers.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    loaded = Loaded()
    for raw in msgspec.json.decode(body, type=_Page).incidents:
        loaded.take(raw)
    return loaded


def read_lines(lines: Iterable[bytes]) -> Loaded:
    """JSON lines: incidents, or whole pages of them. Empty lines are nothing."""
    loaded = Loaded()
    for line in lines:
        if not line.strip():
            continue
        try:
            page = read_page(line)
        except msgspec.MsgspecError:
            loaded.take(line)
        else:
            loaded.incidents += page.incidents
            loaded.unreadable += page.unreadable
    return loaded.sort()


def read_incident(raw: bytes) -> Incident | None:
    """One incident, or the answer about one; ``None`` if it is not readable."""
    try:
        plain = msgspec.json.decode(raw)
        if isinstance(plain, dict) and isinstance(plain.get("incident"), dict):
            plain = plain["incident"]
        _mend(plain)
        return msgspec.convert(plain, Incident)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _mend(plain: Any) -> None:
    """JSON knows no infinity: a statistic that was infinite has become ``null``."""
    if not isinstance(plain, dict):
        return
    request = plain.get("request")
    attempts = request.get("attempts") if isinstance(request, dict) else None
    for facts in [plain.get("facts"), *(attempts if isinstance(attempts, list) else [])]:
        verdict = facts.get("verdict") if isinstance(facts, dict) else None
        if not isinstance(verdict, dict):
            continue
        if verdict.get("score") is None:
            verdict["score"] = math.nan
        evidence = verdict.get("evidence")
        if isinstance(evidence, dict):
            verdict["evidence"] = {k: v for k, v in evidence.items() if v is not None}
