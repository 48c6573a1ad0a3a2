"""The replicas: what is known about each, which one takes the next attempt, and probing."""

from retry_proxy.fleet.fleet import Fleet
from retry_proxy.fleet.replica import ReplicaSnapshot

__all__ = ["Fleet", "ReplicaSnapshot"]
