"""The host tier's numbers at one moment, for metrics."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNumbers:
    """Of the host tier; its pages are as large as the device's."""

    pages_total: int
    pages_used: int
    stored_total: int
    loaded_total: int
    failed_loads_total: int
