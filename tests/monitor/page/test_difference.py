"""What changed between two pictures."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.page.difference import Tables, apply, difference

ROWS = st.dictionaries(
    st.sampled_from("abcd"),
    st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.none() | st.text(max_size=1)}),
)
TABLES = st.fixed_dictionaries({"streams": ROWS, "replicas": ROWS})


def test_only_what_changed_is_told() -> None:
    before: Tables = {"streams": {"a": {"x": 1, "y": None}, "b": {"x": 1, "y": None}}, "other": {}}
    now: Tables = {"streams": {"a": {"x": 2, "y": None}, "c": {"x": 0, "y": 0}}, "other": {}}
    assert difference(before, now) == {
        "streams": {"set": {"a": {"x": 2}, "c": {"x": 0, "y": 0}}, "gone": ["b"]}
    }


def test_a_number_that_is_no_longer_known_is_told_as_such() -> None:
    change = difference({"t": {"a": {"x": 1}}}, {"t": {"a": {"x": None}}})
    assert change == {"t": {"set": {"a": {"x": None}}, "gone": []}}


@settings(deadline=None)
@given(TABLES, TABLES)
def test_the_changes_lead_from_one_picture_to_the_other(before: Tables, now: Tables) -> None:
    reached = copy.deepcopy(before)
    change = difference(before, now)
    apply(change, reached)
    assert reached == now
    assert (change == {}) == (before == now)
