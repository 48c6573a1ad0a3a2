"""Finding pages by the tokens they hold."""

from inference_backend.kv.prefix import PrefixIndex


def index_of(*chains: tuple[str, list[tuple[tuple[int, ...], int]]]) -> PrefixIndex:
    """An index of page size 2 with chains of (tokens, page) under a salt."""
    index = PrefixIndex(2)
    for salt, chain in chains:
        parent: int | str = salt
        for tokens, page in chain:
            index.insert(parent, tokens, page)
            parent = page
    return index


def test_the_longest_known_prefix_is_found() -> None:
    index = index_of(("", [((1, 2), 7), ((3, 4), 8)]))
    assert index.match([1, 2, 3, 4, 5], "") == [7, 8]
    assert index.match([1, 2, 3, 4], "") == [7, 8]
    assert index.match([1, 2, 3], "") == [7]
    assert index.match([1, 2, 9, 9], "") == [7]
    assert index.match([1], "") == []
    assert index.match([2, 1, 3, 4], "") == []


def test_equal_tokens_after_different_prefixes_are_different_pages() -> None:
    index = index_of(("", [((1, 1), 1), ((5, 5), 2)]), ("", [((2, 2), 3), ((5, 5), 4)]))
    assert index.match([1, 1, 5, 5], "") == [1, 2]
    assert index.match([2, 2, 5, 5], "") == [3, 4]


def test_salts_do_not_see_each_other() -> None:
    index = index_of(("alice", [((1, 2), 1)]), ("bob", [((3, 4), 2)]))
    assert index.match([1, 2], "alice") == [1]
    assert index.match([1, 2], "bob") == []
    assert index.match([1, 2], "") == []


def test_the_first_page_of_equal_content_stays() -> None:
    index = index_of(("", [((1, 2), 1)]))
    index.insert("", (1, 2), 9)
    assert index.match([1, 2], "") == [1]
    assert 9 not in index


def test_removing_a_page_removes_what_continues_it() -> None:
    """Its number will mean other content, so nothing may be found through it."""
    index = index_of(
        ("", [((1, 1), 1), ((2, 2), 2), ((3, 3), 3)]),
        ("", [((1, 1), 1), ((2, 2), 2), ((4, 4), 4)]),
        ("", [((1, 1), 1), ((5, 5), 5)]),
    )
    index.remove(2)
    assert index.match([1, 1, 2, 2, 3, 3], "") == [1]
    assert index.match([1, 1, 5, 5], "") == [1, 5]
    assert len(index) == 2
    index.insert(5, (6, 6), 2)
    assert index.match([1, 1, 5, 5, 6, 6], "") == [1, 5, 2]
    assert index.match([1, 1, 5, 5, 6, 6, 3, 3], "") == [1, 5, 2]


def test_removing_an_unknown_page_does_nothing() -> None:
    index = index_of(("", [((1, 2), 1)]))
    index.remove(5)
    assert len(index) == 1


def test_nothing_is_left_behind() -> None:
    index = index_of(("", [((1, 1), 1), ((2, 2), 2)]), ("x", [((1, 1), 3)]))
    for page in (1, 3):
        index.remove(page)
    assert len(index) == 0
    assert index.match([1, 1], "") == index.match([1, 1], "x") == []
