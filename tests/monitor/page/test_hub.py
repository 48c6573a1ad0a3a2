"""One picture for all viewers: who builds it, when, and who gets what of it."""

import asyncio
import json
import logging
from typing import Any

import pytest

from monitor.page.difference import Tables, apply
from monitor.page.hub import KEPT_CHANGES, Hub, TooManyViewers, Viewer

PATIENCE_SECONDS = 20.0


class Fleet:
    """A picture with one number, and how often it was asked for."""

    def __init__(self) -> None:
        self.number = 0
        self.built = 0
        self.error: Exception | None = None

    async def build(self) -> Tables:
        self.built += 1
        if self.error is not None:
            raise self.error
        return {"totals": {"now": {"number": self.number, "fixed": True}}}


def events(data: bytes | None) -> list[tuple[str, str, Any]]:
    """Id, name and content of each."""
    found = []
    for block in (data or b"").decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["id"], fields["event"], json.loads(fields["data"])["tables"]))
    return found


async def following(viewer: Viewer) -> list[tuple[str, str, Any]]:
    """The next events that are not only a heartbeat."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (data := await viewer.next(1.0)):
            assert data is not None, "it is over"
    return events(data)


def hub_of(fleet: Fleet, **options: Any) -> Hub:
    return Hub(fleet.build, **{"interval_seconds": 0.01, **options})


async def test_nobody_looks_and_nothing_is_built() -> None:
    fleet = Fleet()
    hub = hub_of(fleet)
    await asyncio.sleep(0.05)
    assert fleet.built == 0
    viewer = hub.join()
    await following(viewer)
    await viewer.leave()
    built = fleet.built
    assert built >= 1
    await asyncio.sleep(0.05)
    assert (fleet.built, hub.viewers) == (built, 0)


async def test_many_viewers_share_one_picture() -> None:
    """The same bytes, built once."""
    fleet = Fleet()
    hub = hub_of(fleet, interval_seconds=30.0)
    viewers = [hub.join() for _ in range(20)]
    got = [await following(viewer) for viewer in viewers]
    assert fleet.built == 1
    assert [name for _, name, _ in got[0]] == ["picture"]
    assert all(one == got[0] for one in got)
    for viewer in viewers:
        await viewer.leave()


async def test_a_page_that_is_opened_again_and_again_does_not_make_us_build_more() -> None:
    """At most one picture in an interval, whoever comes and goes."""
    fleet = Fleet()
    hub = hub_of(fleet, interval_seconds=30.0)
    for _ in range(10):
        viewer = hub.join()
        await following(viewer)
        await viewer.leave()
    assert fleet.built == 1


async def test_first_the_whole_picture_then_what_changes() -> None:
    fleet = Fleet()
    hub = hub_of(fleet)
    viewer = hub.join()
    [(_, name, tables)] = await following(viewer)
    assert (name, tables) == ("picture", {"totals": {"now": {"number": 0, "fixed": True}}})
    fleet.number = 7
    [(_, name, change)] = await following(viewer)
    assert (name, change) == ("change", {"totals": {"set": {"now": {"number": 7}}, "gone": []}})
    await viewer.leave()


async def test_when_nothing_changes_only_a_heartbeat_is_due() -> None:
    fleet = Fleet()
    hub = hub_of(fleet)
    viewer = hub.join()
    await following(viewer)
    assert await viewer.next(0.05) == b""
    await viewer.leave()


async def test_who_comes_back_goes_on_where_it_was() -> None:
    """With the id of its last event; changes that it missed are told one by one."""
    fleet = Fleet()
    hub = hub_of(fleet)
    stays, leaves = hub.join(), hub.join()
    await following(stays)
    [(last_id, _, tables)] = await following(leaves)
    await leaves.leave()
    for number in (1, 2):
        fleet.number = number
        await following(stays)
    back = hub.join(last_id)
    missed = await following(back)
    assert [name for _, name, _ in missed] == ["change", "change"]
    for _, _, change in missed:
        apply(change, tables)
    assert tables["totals"]["now"]["number"] == 2
    await stays.leave()
    await back.leave()


async def test_who_alone_was_away_gets_what_changed_meanwhile() -> None:
    """Nothing was built for nobody; the change is against what that page still has."""
    fleet = Fleet()
    hub = hub_of(fleet)
    viewer = hub.join()
    [(last_id, _, _)] = await following(viewer)
    await viewer.leave()
    fleet.number = 5
    back = hub.join(last_id)
    [(_, name, change)] = await following(back)
    assert (name, change["totals"]["set"]) == ("change", {"now": {"number": 5}})
    await back.leave()


@pytest.mark.parametrize(
    "last_id", ["", "x", "0:1", "0:x", ":", "0:99999999999999999999", "²:²", "0:-1"]
)
async def test_an_id_of_another_process_or_of_none_gets_the_whole(last_id: str) -> None:
    fleet = Fleet()
    hub = hub_of(fleet)
    stays = hub.join()
    await following(stays)
    viewer = hub.join(last_id)
    assert [name for _, name, _ in await following(viewer)] == ["picture"]
    for one in (stays, viewer):
        await one.leave()


async def test_an_id_from_the_future_gets_the_whole() -> None:
    fleet = Fleet()
    hub = hub_of(fleet)
    stays = hub.join()
    [(last_id, _, _)] = await following(stays)
    viewer = hub.join(f"{last_id.partition(':')[0]}:999")
    assert [name for _, name, _ in await following(viewer)] == ["picture"]
    for one in (stays, viewer):
        await one.leave()


async def test_who_is_slow_gets_the_whole_picture_instead_of_a_queue() -> None:
    fleet = Fleet()
    hub = hub_of(fleet)
    quick, slow = hub.join(), hub.join()
    await following(quick)
    await following(slow)
    for number in range(1, KEPT_CHANGES + 3):
        fleet.number = number
        await following(quick)
    [(_, name, tables)] = await following(slow)
    assert (name, tables["totals"]["now"]["number"]) == ("picture", KEPT_CHANGES + 2)
    for viewer in (quick, slow):
        await viewer.leave()


async def test_places_are_bounded_and_given_back() -> None:
    hub = hub_of(Fleet(), most_viewers=2)
    viewers = [hub.join(), hub.join()]
    with pytest.raises(TooManyViewers, match="2 pages"):
        hub.join()
    await viewers.pop().leave()
    viewers.append(hub.join())
    for viewer in viewers:
        await viewer.leave()


async def test_a_picture_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = Fleet()
    fleet.error = RuntimeError("a bug")
    hub = hub_of(fleet)
    with caplog.at_level(logging.ERROR, "specwatch.page"):
        viewer = hub.join()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while fleet.built < 2:  # the second one comes in spite of the first
                assert await viewer.next(0.05) == b""
    assert "could not be built" in caplog.text
    fleet.error = None
    assert [name for _, name, _ in await following(viewer)] == ["picture"]
    await viewer.leave()


async def test_a_process_that_is_about_to_stop_lets_its_viewers_go() -> None:
    """Else their open answers would hold it up for its whole grace time."""
    fleet = Fleet()
    is_leaving = False
    hub = hub_of(fleet, is_leaving=lambda: is_leaving)
    viewer = hub.join()
    await following(viewer)
    waiting = asyncio.create_task(viewer.next(PATIENCE_SECONDS))
    await asyncio.sleep(0)
    is_leaving = True
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        assert await waiting is None
    await viewer.leave()
