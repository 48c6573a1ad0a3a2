"""Writes the rules and Alertmanager's configuration: ``python -m alerts.build [--check]``."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from alerts import quality, serving
from alerts.recording import RECORDINGS
from alerts.routing import alertmanager_config
from alerts.rule import Alert, Group, Links

FOLDER = Path(__file__).parent
RULES = "specwatch.rules.yaml"
ALERTMANAGER = "alertmanager.yaml"
HEADER = "# Built by `python -m alerts.build`; changes belong there.\n"

ALERTS: tuple[Alert, ...] = (*quality.ALERTS, *serving.ALERTS)
GROUPS: tuple[Group, ...] = (
    Group("specwatch-recording", RECORDINGS),
    Group("specwatch-quality", quality.ALERTS),
    Group("specwatch-serving", serving.ALERTS),
)

_RECEIVER = "http://127.0.0.1:9099"


def rules_yaml(links: Links) -> str:
    """The rule file."""
    return HEADER + _dump({"groups": [group.as_group(links) for group in GROUPS]})


def files(links: Links, receiver: str) -> Mapping[str, str]:
    """Everything that is built, by file name."""
    urls = (f"{receiver}/{severity}" for severity in ("page", "ticket", "watchdog"))
    return {
        RULES: rules_yaml(links),
        ALERTMANAGER: HEADER + _dump(alertmanager_config(*urls)),
    }


def stale(built: Mapping[str, str], folder: Path) -> list[str]:
    """Names of files that are not as they would be built."""
    return [
        name
        for name, text in built.items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 1 if ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m alerts.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder")
    parser.add_argument("--runbooks", default=Links().runbooks, help="where the runbooks lie")
    parser.add_argument("--grafana", default=Links().grafana, help="address of Grafana")
    parser.add_argument("--receiver", default=_RECEIVER, help="webhooks, /page etc. under it")
    given = parser.parse_args(arguments)
    built = files(Links(given.runbooks, given.grafana), given.receiver.rstrip("/"))
    if given.check:
        wrong = stale(built, given.out)
        for name in wrong:
            print(f"{name} is stale: run python -m alerts.build", file=sys.stderr)
        return 1 if wrong else 0
    for name, text in built.items():
        (given.out / name).write_text(text, encoding="utf-8")
    return 0


def _dump(value: object) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, width=100, allow_unicode=True)
    return text


if __name__ == "__main__":
    sys.exit(main())
