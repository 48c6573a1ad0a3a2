"""Replicas from a watch of Kubernetes' endpoints, over real TLS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from retry_proxy.config import ProxyConfig
from retry_proxy.events import FleetTroubled
from retry_proxy.fleet import Fleet
from retry_proxy.fleet.sources.build import build_sources
from retry_proxy.fleet.sources.kubernetes_slices import Slice, Slices, WatchExpired
from retry_proxy.fleet.sources.source import SourceUnavailable
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.sink import RecordingSink


class Followed:
    """A fleet that follows the API server; a poll would come after ten minutes."""

    def __init__(self, api: FakeKubernetes, interval_seconds: float) -> None:
        config = ProxyConfig(
            replicas_kubernetes="llm/engines:http", source_interval_seconds=interval_seconds
        )
        self.sink = RecordingSink()
        sources = build_sources(config, api.folder, api.environment)
        self.fleet = Fleet(config, self.sink, sources=sources)

    @property
    def members(self) -> list[str]:
        staying = (one for one in self.fleet._replicas if not one.is_leaving)
        return sorted(one.address.split("//10.0.0.")[1].split(":")[0] for one in staying)

    @property
    def complaints(self) -> list[str]:
        return [one.reason for one in self.sink.events if isinstance(one, FleetTroubled)]

    async def until(self, *members: str) -> None:
        async with asyncio.timeout(10):
            while self.members != sorted(members):  # noqa: ASYNC110 (a fleet has no event for it)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def following(
    api: FakeKubernetes, interval_seconds: float = 600.0
) -> AsyncIterator[Followed]:
    followed = Followed(api, interval_seconds)
    await followed.fleet.start()
    try:
        yield followed
    finally:
        await followed.fleet.stop()


async def test_what_changes_is_known_at_once(tmp_path: Path) -> None:
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1", "10.0.0.2")
        async with following(api) as followed:
            assert followed.members == ["1", "2"]
            await api.put("two", "10.0.0.3")
            await followed.until("1", "2", "3")
            await api.put("one", "10.0.0.2")
            await followed.until("2", "3")
            await api.delete("two")
            await followed.until("2")
            assert (api.lists, api.watches) == (1, [101])
        assert followed.complaints == []


async def test_a_watch_that_ends_goes_on_where_it_was(tmp_path: Path) -> None:
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        async with following(api) as followed:
            await api.wait_for_watches(1)
            await api.bookmark()
            await api.bookmark()
            await api.put("two", "10.0.0.2")
            await followed.until("1", "2")
            await api.end_watches()
            await api.wait_for_watches(2)
            await api.put("two", "10.0.0.3")
            await followed.until("1", "3")
            assert (api.lists, api.watches) == (1, [101, 104])


async def test_bookmarks_move_the_place_where_it_goes_on(tmp_path: Path) -> None:
    """Without them a quiet service's watch would begin further and further back, and expire."""
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        async with following(api) as followed:
            await api.wait_for_watches(1)
            for _ in range(3):
                await api.bookmark()
            await asyncio.sleep(0.1)
            api.forgotten = 103
            await api.end_watches()
            await api.wait_for_watches(2)
            await api.put("one", "10.0.0.9")
            await followed.until("9")
            assert (api.lists, api.watches) == (1, [101, 104])


async def test_a_version_that_is_gone_needs_a_new_list(tmp_path: Path) -> None:
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        async with following(api, 0.05) as followed:
            await api.wait_for_watches(1)
            await api.say({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
            api.slices["one"]["endpoints"][0]["addresses"] = ["10.0.0.7"]
            await followed.until("7")
            assert api.lists == 2
            await api.put("one", "10.0.0.8")
            await followed.until("8")
        assert followed.complaints == []


async def test_a_watch_may_be_gone_before_it_begins(tmp_path: Path) -> None:
    """It is asked again after a pause, not in a circle."""
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        api.forgotten = 10**9
        async with following(api, 0.2):
            await asyncio.sleep(1.0)
            assert 2 <= api.lists <= 7


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ERROR", "object": {"code": 500, "message": "etcd"}},
        {"type": "ADDED", "object": {"endpoints": "none"}},
        {"type": "ADDED"},
        ["no event"],
    ],
)
async def test_whatever_goes_wrong_the_list_is_read_again(tmp_path: Path, event: object) -> None:
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        async with following(api, 0.05) as followed:
            await api.wait_for_watches(1)
            await api.say(event)  # type: ignore[arg-type]
            await api.wait_for_watches(2)
            await api.put("one", "10.0.0.2")
            await followed.until("2")


async def test_the_token_is_read_anew(tmp_path: Path) -> None:
    """The last list stays while the old one is refused, and somebody is told."""
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        async with following(api, 0.05) as followed:
            await api.wait_for_watches(1)
            api.token = "second"
            await api.end_watches()
            async with asyncio.timeout(10):
                while not followed.complaints:  # noqa: ASYNC110 (as above)
                    await asyncio.sleep(0.01)
            assert followed.members == ["1"]
            assert "401" in followed.complaints[0]
            (tmp_path / "token").write_text("second\n")
            await api.put("one", "10.0.0.2")
            await followed.until("2")


async def test_who_may_not_watch_asks_again_and_again(tmp_path: Path) -> None:
    async with FakeKubernetes(tmp_path, may_watch=False) as api:
        await api.put("one", "10.0.0.1")
        async with following(api, 0.05) as followed:
            await api.put("one", "10.0.0.2")
            await followed.until("2")
            assert len(api.watches) == 1


async def test_another_clusters_certificate_is_refused(tmp_path: Path) -> None:
    """Nothing is asked and no token is shown."""
    async with FakeKubernetes(tmp_path) as api:
        await api.put("one", "10.0.0.1")
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        async with following(api) as followed:
            assert followed.members == []
            assert "certificate" in followed.complaints[0].lower()
            assert (api.lists, api.refused) == (0, 0)


def test_an_expired_watch_is_told_apart() -> None:
    known = Slices([Slice()], "5")
    with pytest.raises(WatchExpired):
        known.apply(b'{"type": "ERROR", "object": {"code": 410}}')
    with pytest.raises(SourceUnavailable) as told:
        known.apply(b'{"type": "ERROR", "object": {"message": "x"}}')
    assert not isinstance(told.value, WatchExpired)
    assert not known.apply(
        b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}'
    )
    assert (known.version, len(known.items)) == ("9", 1)
