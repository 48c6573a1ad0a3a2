"""Held or released: nothing in between, nothing taken back."""

from detectors.observation import Observation
from retry_proxy.decide.hold_bounds import HoldBounds
from retry_proxy.engines.adapter import Piece
from retry_proxy.stream.holdback import HoldBack


def piece(text: str, tokens: int = 1, **more: object) -> Piece:
    ids = tuple(range(tokens))
    made = Piece(
        {}, b"", Observation(), text=text, tokens=tokens, token_ids=ids, has_output=bool(text)
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def hold_all(hold: HoldBack, *pieces: Piece, now: float = 0.0) -> None:
    for held in pieces:
        hold.hold(held, now)


def texts(pieces: list[Piece]) -> list[str]:
    return [released.text for released in pieces]


def test_release_is_in_order_and_counts() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a"), piece("b", 2))
    assert texts(hold.release(1.0)) == ["a", "b"]
    prefix = hold.prefix()
    assert (prefix.text, prefix.tokens, prefix.token_ids) == ("ab", 3, (0, 0, 1))
    assert hold.release(2.0) == []


def test_cut_keeps_whole_pieces_before_the_token() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a", 3))
    hold.release(0.0)
    hold_all(hold, piece("b", 3), piece("c", 3), piece("d", 3))
    assert texts(hold.cut(7, 0.0)) == ["b"]
    assert hold.prefix().text == "ab"
    assert not hold.held


def test_cut_never_takes_back_what_was_released() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a", 50))
    hold.release(0.0)
    hold_all(hold, piece("b"))
    assert hold.cut(10, 0.0) == []
    assert hold.prefix().text == "a"


def test_a_continuation_starts_after_the_last_text() -> None:
    """The tokens of half a character went into the next prompt, and the character was lost."""
    hold = HoldBack()
    hold_all(hold, piece("a"), piece("", 2))
    hold.release(0.0)
    prefix = hold.prefix()
    assert (prefix.text, prefix.tokens, prefix.token_ids) == ("a", 1, (0,))
    hold.start_attempt()
    hold_all(hold, piece("é", 3))
    hold.release(0.0)
    assert (hold.released_tokens, hold.prefix().token_ids) == (4, (0, 0, 1, 2))


def test_cut_does_not_end_in_tokens_without_text() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a"), piece(""), piece(""), piece("é"))
    assert texts(hold.cut(3, 0.0)) == ["a"]


def test_cut_never_keeps_a_finish_or_what_cannot_be_continued() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a"), piece("b", is_finish=True))
    assert texts(hold.cut(99, 0.0)) == ["a"]
    hold_all(hold, piece("", is_continuable=False), piece("c"))
    assert hold.cut(99, 0.0) == []


def test_unknown_token_ids_leave_only_text_to_continue_from() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a"), piece("b", token_ids=None))
    hold.release(0.0)
    assert hold.prefix().token_ids is None


def test_prompt_ids_are_the_first_attempts() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a", prompt_token_ids=(1, 2)))
    hold.release(0.0)
    hold.start_attempt()
    hold_all(hold, piece("b", prompt_token_ids=(1, 2, 0)))
    hold.release(0.0)
    assert hold.prefix().prompt_token_ids == (1, 2)


def test_hold_time_is_that_of_text() -> None:
    hold = HoldBack()
    hold_all(hold, piece(""), now=1.0)
    hold_all(hold, piece("a"), now=2.0)
    assert hold.attempt_hold_seconds(4.0) == 2.0
    hold.release(5.0)
    hold_all(hold, piece("b"), now=6.0)
    hold.release(6.5)
    assert (hold.longest_hold_seconds, hold.attempt_hold_seconds(9.0)) == (3.0, 3.0)
    assert hold.last_release_at == 6.5


def test_a_hold_that_ends_in_a_drop_is_not_a_delay_of_delivered_text() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a"), now=0.0)
    hold.drop(9.0)
    assert (hold.longest_hold_seconds, hold.attempt_hold_seconds(9.0)) == (0.0, 9.0)


def test_over_a_bound_the_oldest_are_released() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a", 4, raw=b"12345678"), piece("b", 4, raw=b"1234"), now=1.0)
    hold_all(hold, piece("c", 4, raw=b"12"), now=3.0)
    assert hold.release_over(HoldBounds(12, 14, 2.0), 3.0) == []
    assert texts(hold.release_over(HoldBounds(8, 14, 9.0), 3.0)) == ["a"]
    assert texts(hold.release_over(HoldBounds(8, 5, 9.0), 3.0)) == ["b"]
    assert texts(hold.release_over(HoldBounds(8, 5, 2.0), 5.5)) == ["c"]
    assert hold.prefix().text == "abc"
    assert hold.release_over(HoldBounds(1, 1, 0.0), 9.0) == []


def test_a_hold_that_was_let_out_in_part_goes_on() -> None:
    hold = HoldBack()
    hold_all(hold, piece("a"), now=0.0)
    hold_all(hold, piece("b"), now=3.0)
    hold.release_over(HoldBounds(1, 99, 99.0), 4.0)
    assert hold.attempt_hold_seconds(9.0) == 6.0
    hold.release(10.0)
    assert hold.longest_hold_seconds == 7.0


def test_what_is_said_again_later_does_not_count_against_the_bound() -> None:
    hold = HoldBack()
    payload = {"text": "", "meta_info": {}}
    for text in ("a", "b", "c"):
        hold.hold(piece(text, raw=b"x" * 100, payload=payload, is_cumulative=True), 0.0)
    assert hold.release_over(HoldBounds(99, 150, 9.0), 0.0) == []
