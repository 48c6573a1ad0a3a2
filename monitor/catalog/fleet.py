"""Metrics of the replicas as the proxy sees them."""

from monitor.catalog.metric import Metric, MetricType, metrics_of
from retry_proxy.events import ReplicaState

# One number for a state: a flag for each of six would be a fifth of all series. In the order of
# how bad it is, so that the maximum over several proxies is the worst.
STATE_CODES: dict[ReplicaState, int] = {
    ReplicaState.HEALTHY: 0,
    ReplicaState.PROBING: 1,
    ReplicaState.DRAINING: 2,
    ReplicaState.UNREACHABLE: 3,
    ReplicaState.TRIPPED: 4,
    ReplicaState.QUARANTINED: 5,
}

REPLICA_STATE = Metric(
    "specwatch_replica_state",
    MetricType.GAUGE,
    "code",
    "State of a replica: "
    + ", ".join(f"{code} {state}" for state, code in STATE_CODES.items())
    + ".",
    ("replica",),
    is_pulled=True,
)
REPLICAS = Metric(
    "specwatch_replicas",
    MetricType.GAUGE,
    "replicas",
    "How many replicas are in each state.",
    ("kind",),
    is_pulled=True,
)
EJECTED = Metric(
    "specwatch_ejected_replicas",
    MetricType.GAUGE,
    "replicas",
    "Replicas that are left alone for failures or anomalies: tripped, quarantined, on trial.",
    is_pulled=True,
)
EJECTABLE = Metric(
    "specwatch_ejectable_replicas",
    MetricType.GAUGE,
    "replicas",
    "How many may be left alone at once, from --max-ejected-share.",
    is_pulled=True,
)
REPLICA_CHANGES = Metric(
    "specwatch_replica_changes_total",
    MetricType.COUNTER,
    "changes",
    "Times that a replica moved into another state.",
    ("replica",),
)
REPLICA_ATTEMPTS = Metric(
    "specwatch_replica_attempts_total",
    MetricType.COUNTER,
    "attempts",
    "Dispatches to a replica that ended.",
    ("replica",),
)
REPLICA_FAILURES = Metric(
    "specwatch_replica_failures_total",
    MetricType.COUNTER,
    "attempts",
    "Those of them that failed: refused, cut, stalled, malformed or an error status.",
    ("replica",),
)
OUTSTANDING_TOKENS = Metric(
    "specwatch_outstanding_tokens",
    MetricType.GAUGE,
    "tokens",
    "Estimated tokens of the attempts that now run on a replica, prompts included.",
    ("replica",),
    is_pulled=True,
)
IN_FLIGHT = Metric(
    "specwatch_in_flight",
    MetricType.GAUGE,
    "attempts",
    "Attempts now running on a replica.",
    ("replica",),
    is_pulled=True,
)
DRAFT_HEALTH = Metric(
    "specwatch_replica_draft_health",
    MetricType.GAUGE,
    "flag",
    "1 while a replica's drafter works, 0 while it is dead; no series while that is not known.",
    ("replica",),
    is_pulled=True,
)
FLEET_TROUBLES = Metric(
    "specwatch_fleet_troubles_total",
    MetricType.COUNTER,
    "events",
    "Troubles that taking out a replica does not cure: most are sick alike, one that stands out "
    "must stay in, a list of replicas cannot be read or names what may not be one.",
    ("kind",),
)

ALL = metrics_of(vars())
