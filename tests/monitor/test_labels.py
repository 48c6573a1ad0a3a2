"""Label values stay few, whatever clients send."""

from monitor.labels import OTHER, BoundedNames


def test_names_past_the_limit_share_one_label() -> None:
    """The first names keep their own."""
    names = BoundedNames(limit=2)
    assert [names.label(name) for name in ("a", "b", "c", "a", "d")] == [
        "a",
        "b",
        OTHER,
        "a",
        OTHER,
    ]


def test_a_made_up_name_takes_no_place() -> None:
    """A thousand refused requests for made-up models must not push a real one out."""
    names = BoundedNames(limit=1)
    assert {names.label(f"made-up-{i}", may_learn=False) for i in range(1000)} == {OTHER}
    assert names.label("real") == "real"
    assert names.label("real", may_learn=False) == "real"


def test_an_empty_name_is_other() -> None:
    """A request without a model name."""
    assert BoundedNames(limit=5).label("") == OTHER


def test_a_long_name_is_cut() -> None:
    """A label stays readable."""
    assert BoundedNames(limit=5, max_length=3).label("abcdef") == "abc"
