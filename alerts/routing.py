"""Alertmanager: who is told, what is grouped, and which alert makes others needless."""

from collections.abc import Sequence
from typing import Any

# A cause, and what only repeats it. "equal" names labels that both must share.
INHIBITIONS: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
    (
        "NoHealthyReplica",
        ("ReplicaAnomalyOutlier", "QuarantineAtLimit", "ReplicaFlapping", "RetryBudgetExhausted"),
        (),
    ),
    ("FleetAnomalyShift", ("ReplicaAnomalyOutlier", "RetryNotHelping"), ()),
    ("BadOutputBudgetBurn", ("BadOutputBudgetBurnSlow",), ("model",)),
    ("AcceptLengthCollapseWithAnomalies", ("AcceptLengthCollapse",), ("replica",)),
    ("AcceptLengthPinnedAtOne", ("AcceptLengthCollapse",), ("replica",)),
    ("RedisDown", ("RedisSlow",), ("instance",)),
    ("InstanceDown", ("RedisDown", "NoHealthyReplica", "DetectorBlind"), ("instance",)),
)


def alertmanager_config(page_url: str, ticket_url: str, watchdog_url: str) -> dict[str, Any]:
    """The whole configuration, with a webhook for each severity.

    A pager's or a ticket system's own receiver goes in place of its webhook.
    """
    urls = {"page": page_url, "ticket": ticket_url, "none": watchdog_url}
    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["model", "alertname"],
            "group_wait": "5s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [
                {"receiver": "page", "matchers": ['severity="page"']},
                {"receiver": "ticket", "matchers": ['severity="ticket"'], "group_wait": "1m"},
                {
                    "receiver": "none",
                    "matchers": ['severity="none"'],
                    "group_wait": "1s",
                    "group_interval": "1m",
                    "repeat_interval": "1m",
                },
            ],
        },
        "inhibit_rules": [_inhibition(*one) for one in INHIBITIONS],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]}
            for name, url in urls.items()
        ],
    }


def _inhibition(source: str, targets: Sequence[str], equal: Sequence[str]) -> dict[str, Any]:
    return {
        "source_matchers": [f'alertname="{source}"'],
        "target_matchers": [f'alertname=~"{"|".join(targets)}"'],
        "equal": list(equal),
    }
