"""A recording becomes the observations that a proxy would have had."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.observation import Observation
from detectors.token_estimate import estimate_tokens
from monitor.offline.recording import Recording
from monitor.offline.replay import TextPlaces, observations


def stream(record: Recording) -> list[Observation]:
    return list(observations(record))


def step_numbers(record: Recording) -> list[tuple[int | None, int | None, int | None, int | None]]:
    return [(one.new_tokens, one.steps, one.accepted, one.drafted) for one in observations(record)]


def test_the_first_event_is_the_prefill_and_each_other_one_has_a_step() -> None:
    """As the engines stream."""
    record = Recording(
        text="abcdefgh",
        tokens_per_event=(1, 3, 1),
        accepted_per_step=(2, 0),
        drafted_per_step=(3, 3),
        token_ids=(10, 11, 12, 13, 14),
        chars_per_event=(2, 5, 1),
        logprobs=(-0.5, -0.1, -0.2, -0.3, -4.0),
    )
    assert stream(record) == [
        Observation(text="ab", new_tokens=1, token_ids=(10,), logprobs=(-0.5,)),
        Observation("cdefg", 3, (11, 12, 13), 1, 3, 2, logprobs=(-0.1, -0.2, -0.3)),
        Observation("h", 1, (14,), 1, 3, 0, logprobs=(-4.0,)),
    ]


def test_without_events_they_follow_from_the_steps() -> None:
    """One token of the prefill, then the kept drafts and one more."""
    record = Recording(text="", accepted_per_step=(2, 0, 1), drafted_per_step=(3, 3, 3))
    assert step_numbers(record) == [
        (1, None, None, None),
        (3, 1, 2, 3),
        (1, 1, 0, 3),
        (2, 1, 1, 3),
    ]


@pytest.mark.parametrize(
    ("ids", "tokens"), [(4, [1, 3, 0]), (5, [1, 3, 1]), (8, [1, 3, 2, 2]), (0, [0, 0, 0])]
)
def test_the_ids_decide_how_many_tokens_there_were(ids: int, tokens: list[int]) -> None:
    """A limit cuts the last step; what is over came without a step."""
    record = Recording(text="x", accepted_per_step=(2, 1), token_ids=tuple(range(ids)))
    assert [one.new_tokens for one in observations(record)] == tokens


@pytest.mark.parametrize(
    ("events", "accepted", "steps"),
    [
        ((1, 2, 3), (1, 2), [None, 1, 1]),
        ((3, 1), (2, 0), [1, 1]),  # no event of the prefill alone
        ((1, 5), (1, 2), [None, 2]),  # two steps in one event
        ((2, 2, 1), (1, 1), [None, 1, 1]),
        ((1, 1, 1, 1), (1, 0), [None, None, 1, 1]),  # a step spread over two events
        ((1, 2), (1, 2, 0), [None, 3]),  # more steps than tokens
        ((1, 2, 4), (), [None, None, None]),
    ],
)
def test_steps_of_another_number_go_where_their_last_token_is(
    events: tuple[int, ...], accepted: tuple[int, ...], steps: list[int | None]
) -> None:
    """No step is lost."""
    record = Recording(text="x", tokens_per_event=events, accepted_per_step=accepted)
    assert [one.steps for one in observations(record)] == steps


def test_without_drafts_proposed_they_stay_unknown() -> None:
    """Unknown is not zero."""
    record = Recording(text="x", accepted_per_step=(1,))
    assert stream(record)[1].drafted is None


def test_text_alone_comes_in_small_pieces_with_estimated_tokens() -> None:
    """In all as many as the text has."""
    text = "One can say a lot about tokens, 42 times, without seeing any.\n" * 5
    found = stream(Recording(text=text))
    assert all(len(one.text) <= 4 for one in found)
    assert sum(one.new_tokens or 0 for one in found) == pytest.approx(estimate_tokens(text), abs=1)
    assert {(one.steps, one.accepted, one.token_ids) for one in found} == {(None, None, None)}


@given(
    st.text(max_size=60),
    st.lists(st.integers(0, 5), max_size=12),
    st.lists(st.integers(0, 4), max_size=12),
)
def test_nothing_is_lost_however_odd_the_numbers(
    text: str, events: list[int], accepted: list[int]
) -> None:
    """Text, tokens and steps come out as they went in, where there is an event to carry them."""
    record = Recording(text=text, tokens_per_event=tuple(events), accepted_per_step=tuple(accepted))
    found = stream(record)
    assert [one.new_tokens for one in found] == events
    if events:
        assert "".join(one.text for one in found) == text
    if len(events) > 1:
        assert sum(one.steps or 0 for one in found) == len(accepted)
        assert sum(one.accepted or 0 for one in found) == sum(accepted)


def test_places_map_tokens_to_characters_and_back() -> None:
    """To the accuracy of an event."""
    record = Recording(text="abcdefgh", tokens_per_event=(1, 2, 1), chars_per_event=(2, 4, 2))
    places = TextPlaces(record)
    assert [places.character(token) for token in range(6)] == [0, 2, 4, 6, 8, 8]
    assert [places.token(character) for character in range(9)] == [0, 0, 1, 1, 1, 1, 3, 3, 4]
    assert places.tokens == 4
