"""Uploads the dashboards, their folder and the data source to a Grafana. Can be done again."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaTimeoutError
from niquests.exceptions import RequestException

FOLDER_UID = "specwatch"
FOLDER_TITLE = "specwatch"
DATASOURCE_NAME = "Prometheus (specwatch)"
_REFUSED = (401, 403)
_NOT_FOUND = 404

Answer = TypeVar("Answer")


class PushFailed(Exception):
    """Something could not be uploaded; says what, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was uploaded.

    Attributes:
        datasource: ``None`` if none was asked for.
        dashboards: addresses within Grafana.
    """

    folder: str
    datasource: str | None
    dashboards: Sequence[str]


class Grafana(Protocol):
    """The parts of Grafana's API that are used, as ``grafana-client`` groups them."""

    folder: Any
    datasource: Any
    dashboard: Any


def built_files() -> list[Path]:
    """The dashboards that come with specwatch; needs no SDK."""
    return sorted((Path(__file__).parent / "json").glob("*.json"))


@contextmanager
def connected(url: str, token: str | None, timeout_seconds: float = 10.0) -> Iterator[GrafanaApi]:
    """A client, and no connection left open afterwards; nothing is sent yet."""
    made: GrafanaApi = GrafanaApi.from_url(url, credential=token, timeout=timeout_seconds)
    try:
        yield made
    finally:
        made.client.s.close()


def push(
    grafana: Grafana, url: str, dashboards: Sequence[Path], prometheus: str | None = None
) -> Pushed:
    """Uploads; what is there already is brought up to date.

    Args:
        url: for messages only.
        prometheus: address of the Prometheus that a data source is made for.

    Raises:
        PushFailed: Grafana cannot be reached, or refuses.
    """
    _told(url, lambda: _ensure_folder(grafana))
    name = None
    if prometheus is not None:
        address = prometheus
        name = _told(url, lambda: _ensure_datasource(grafana, address))
    uploaded = _told(url, lambda: [_upload(grafana, path) for path in dashboards])
    return Pushed(FOLDER_TITLE, name, uploaded)


def _ensure_folder(grafana: Grafana) -> None:
    try:
        grafana.folder.get_folder(FOLDER_UID)
    except GrafanaClientError as error:
        if error.status_code != _NOT_FOUND:
            raise
        grafana.folder.create_folder(FOLDER_TITLE, FOLDER_UID)


def _ensure_datasource(grafana: Grafana, prometheus: str) -> str:
    wanted = {
        "name": DATASOURCE_NAME,
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "jsonData": {"httpMethod": "POST"},
    }
    try:
        there = grafana.datasource.get_datasource_by_name(DATASOURCE_NAME)
    except GrafanaClientError as error:
        if error.status_code != _NOT_FOUND:
            raise
        grafana.datasource.create_datasource(wanted)
    else:
        grafana.datasource.update_datasource_by_uid(there["uid"], {**wanted, "uid": there["uid"]})
    return DATASOURCE_NAME


def _upload(grafana: Grafana, path: Path) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    answer = grafana.dashboard.update_dashboard(
        {
            "dashboard": {**content, "id": None},
            "folderUid": FOLDER_UID,
            "overwrite": True,
            "message": "specwatch dashboards push",
        }
    )
    return str(answer["url"])


def _told(url: str, work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except GrafanaTimeoutError as error:
        raise PushFailed(f"{url} did not answer in time") from error
    except GrafanaException as error:
        raise PushFailed(_words(url, error)) from error
    except (RequestException, OSError) as error:
        raise PushFailed(f"{url} cannot be reached: {error}") from error


def _words(url: str, error: GrafanaException) -> str:
    if error.status_code in _REFUSED:
        return (
            f"{url} refuses the token (status {error.status_code}): it needs a service account "
            "with the role Editor, or Admin for the data source"
        )
    if not error.status_code:
        return f"{url} cannot be reached: {error.message}"
    if error.status_code == _NOT_FOUND:
        return f"{url} is no Grafana, or it lies under another path: {error.message}"
    return f"{url} answered with status {error.status_code}: {error.message}"
