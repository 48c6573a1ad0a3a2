"""Stop strings end the text wherever they come to lie; no start of one slips out."""

from hypothesis import given
from hypothesis import strategies as st

from inference_backend.server.stopping import StopStrings


def run(stops: list[str], pieces: list[str]) -> tuple[list[str], str | None]:
    stopping = StopStrings(stops)
    out = []
    for piece in pieces:
        out.append(stopping.push(piece))
        if stopping.matched is not None:
            return out, stopping.matched
    return [*out, stopping.flush()], None


def test_without_stops_text_passes_untouched() -> None:
    assert run([], ["a", "b"]) == (["a", "b", ""], None)


def test_stop_string_within_a_piece_cuts_the_text() -> None:
    assert run(["END"], ["one END two"]) == (["one "], "END")


def test_stop_string_over_three_pieces_is_found_and_its_start_held() -> None:
    assert run(["END"], ["one E", "N", "D two"]) == (["one ", "", ""], "END")


def test_start_that_leads_nowhere_is_released_in_order() -> None:
    assert run(["END"], ["one E", "Na"]) == (["one ", "ENa", ""], None)


def test_start_at_the_very_end_is_released_by_flush() -> None:
    assert run(["END"], ["one EN"]) == (["one ", "EN"], None)


def test_the_stop_string_that_begins_first_wins() -> None:
    assert run(["world", "lo w"], ["hello world"]) == (["hel"], "lo w")


def test_overlapping_start_is_kept_as_long_as_possible() -> None:
    assert run(["aab"], ["aaa", "b"]) == (["a", ""], "aab")


@given(st.lists(st.text("ab", max_size=3), max_size=12), st.text("ab", min_size=1, max_size=4))
def test_cut_is_where_the_whole_text_first_holds_the_stop(pieces: list[str], stop: str) -> None:
    out, matched = run([stop], pieces)
    before, found, _ = "".join(pieces).partition(stop)
    assert "".join(out) == before
    assert (matched is not None) == bool(found)
