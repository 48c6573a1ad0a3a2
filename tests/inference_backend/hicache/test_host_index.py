"""Which host slots hold what."""

import random

import pytest

from inference_backend.hicache.host_index import HostIndex, HostPage, first_key, next_key

PAGES = [[1, 2], [3, 4], [5, 6], [7, 8]]


def chain(pages: list[list[int]], salt: str = "") -> list[bytes]:
    keys, key = [], first_key(salt)
    for tokens in pages:
        key = next_key(key, tokens)
        keys.append(key)
    return keys


def filled(index: HostIndex, pages: list[list[int]], salt: str = "") -> list[int | None]:
    """Puts the pages as eviction does: the last first."""
    slots = [
        index.put(key, epoch, is_tainted=False)
        for epoch, key in reversed(list(enumerate(chain(pages, salt), 1)))
    ]
    return slots[::-1]


def test_a_key_is_the_whole_prefix() -> None:
    """The same tokens after other ones, under another salt, or cut elsewhere are other content."""
    keys = chain(PAGES)
    assert len(set(keys)) == 4
    assert chain([[9, 9], *PAGES[1:]])[1] != keys[1]
    assert chain(PAGES, "other")[0] != keys[0]
    assert chain([[1], [2]])[1] != keys[0]
    assert chain([[0x0201]])[0] != chain([[1, 2]])[0]


def test_the_longest_known_run_is_found() -> None:
    index = HostIndex(8)
    slots = filled(index, PAGES[:3])
    found = index.match(first_key(""), PAGES)
    assert [page.slot for page in found] == slots
    assert [page.epoch for page in found] == [1, 2, 3]
    assert index.match(first_key("other"), PAGES) == []
    assert index.match(chain(PAGES)[0], PAGES[1:3])[0].slot == slots[1]
    index.check_integrity()


def test_the_least_recently_used_goes_and_a_prefix_loses_its_end_first() -> None:
    index = HostIndex(4)
    filled(index, PAGES[:2])
    filled(index, PAGES[:2], "other")
    index.release(index.match(first_key(""), PAGES))  # "other" is older now
    index.put(b"new", 9, is_tainted=False)
    assert len(index.match(first_key("other"), PAGES)) == 1
    assert len(index.match(first_key(""), PAGES)) == 2


def test_what_is_known_is_not_copied_again() -> None:
    """Unless it was computed from wrong cache and now is not."""
    index = HostIndex(2)
    assert index.put(b"a", 1, is_tainted=True) is not None
    assert index.put(b"a", 2, is_tainted=True) is None
    assert index.put(b"a", 3, is_tainted=False) is not None
    assert index.put(b"a", 4, is_tainted=True) is None
    index.check_integrity()


def test_pages_being_read_stay() -> None:
    index = HostIndex(2)
    filled(index, PAGES[:2])
    reading = index.match(first_key(""), PAGES)
    assert index.put(b"new", 9, is_tainted=False) is None
    assert index.dropped == 1
    index.release(reading[1:])
    assert index.put(b"new", 9, is_tainted=False) == reading[1].slot
    index.release(reading[:1])
    with pytest.raises(AssertionError, match="twice"):
        index.release(reading[:1])


def test_discarded_content_is_not_found_and_its_slot_comes_back() -> None:
    index = HostIndex(2)
    filled(index, PAGES[:2])
    reading = index.match(first_key(""), PAGES)
    index.discard(reading)
    assert index.match(first_key(""), PAGES) == []
    index.check_integrity(reading)
    index.release(reading)
    index.check_integrity()
    assert filled(index, PAGES[:2]) is not None
    index.check_integrity()


def test_random_use_loses_no_slot() -> None:
    """Puts, reads, releases and discards in any order."""
    source = random.Random(1)
    index = HostIndex(6)
    reading: list[list[HostPage]] = []
    for _ in range(3000):
        prefix = [[source.randrange(3), 0] for _ in range(4)]
        match source.randrange(4):
            case 0:
                key = source.choice(chain(prefix))
                index.put(key, source.randrange(100), is_tainted=source.random() < 0.2)
            case 1 if len(reading) < 4:
                reading.append(index.match(first_key(""), prefix))
            case 2 if reading:
                index.release(reading.pop(source.randrange(len(reading))))
            case 3 if reading and source.random() < 0.3:
                index.discard(source.choice(reading))
        index.check_integrity([page for pages in reading for page in pages])
    assert index.stored > 100
    assert index.hits > 100
