"""From surprisals to an opinion."""

import random

import pytest

from monitor.judge.opinion import Opinion, SecondOpinion, compressed_share, judge_text
from monitor.judge.window import MIN_TOKENS, ScoredToken, cut_windows, token_at

LETTERS = "etaoinshrdlucmfwyp"
HAN = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏"


def scored_text(*parts: tuple[int, float], script: str = "words") -> tuple[str, list[ScoredToken]]:
    """A text of parts with so many tokens of about that surprisal each."""
    source = random.Random(7)
    text, scored = "", []
    for count, surprisal in parts:
        for _ in range(count):
            scored.append(ScoredToken(surprisal, int(surprisal * 100), len(text)))
            text += {
                "words": lambda: " " + "".join(source.choices(LETTERS, k=source.randint(2, 8))),
                "han": lambda: source.choice(HAN),
                "hex": lambda: source.choice("0123456789abcdef"),
            }[script]()
    return text, scored


def opinion_on(
    *parts: tuple[int, float], script: str = "words", onset: int | None = None
) -> SecondOpinion:
    text, scored = scored_text(*parts, script=script)
    character = None if onset is None else scored[onset].start
    return judge_text(text, scored, onset_character=character)


def test_prose_that_the_model_could_have_written_is_fine() -> None:
    found = opinion_on((300, 2.5))
    assert found.opinion is Opinion.FINE
    assert found.perplexity == pytest.approx(12.2, abs=0.1)
    assert found.tokens == 300


@pytest.mark.parametrize("script", ["words", "han", "hex"])
def test_a_calm_text_that_turns_to_noise_is_sick(script: str) -> None:
    """In any script: the model knew it before."""
    found = opinion_on((128, 2.5), (64, 9.0), script=script)
    assert found.opinion is Opinion.SICK
    assert found.reason.startswith("perplexity 8103 at token 128, 12.2 at the calmest place before")
    assert found.median_rank == 900


@pytest.mark.parametrize(("script", "surprisal"), [("han", 9.0), ("hex", 9.0), ("words", 7.5)])
def test_what_is_as_surprising_throughout_may_be_unknown_to_the_model(
    script: str, surprisal: float
) -> None:
    """Another language, another script, encoded data: the small model cannot know."""
    assert opinion_on((300, surprisal), script=script).opinion is Opinion.UNSURE


def test_readable_noise_from_the_first_token_on_is_sick() -> None:
    """No language in Latin letters is so surprising throughout."""
    assert opinion_on((300, 9.0)).opinion is Opinion.SICK


def test_one_surprising_window_is_enough_and_may_pass() -> None:
    """A stream that recovers was sick all the same."""
    assert opinion_on((128, 2.0), (64, 9.0), (128, 2.0)).opinion is Opinion.SICK


def test_only_what_follows_the_onset_is_judged() -> None:
    """Before it there may be an honest quotation in a code."""
    assert opinion_on((64, 9.0), (128, 2.0), onset=64).opinion is Opinion.FINE
    assert opinion_on((128, 2.0), (30, 9.0), onset=128).opinion is Opinion.SICK


def test_a_loop_that_runs_on_is_sick_and_boilerplate_is_not() -> None:
    """A loop, once learnt, holds no surprise at all."""
    assert opinion_on((100, 2.0), (200, 0.005)).opinion is Opinion.SICK
    assert opinion_on((100, 2.0), (80, 0.1)).opinion is Opinion.UNSURE


def test_a_text_that_repeats_itself_is_never_fine() -> None:
    """Its perplexity is only moderate as long as the loop is young."""
    text = "the same words again and " * 20
    scored = [ScoredToken(1.5, 2, start) for start in range(0, len(text), 5)]
    found = judge_text(text, scored)
    assert found.opinion is Opinion.UNSURE
    assert "repeats itself" in found.reason


@pytest.mark.parametrize("count", [0, 1, MIN_TOKENS - 1])
def test_a_few_tokens_say_nothing(count: int) -> None:
    found = opinion_on((count, 9.0))
    assert found.opinion is Opinion.UNSURE
    assert found.perplexity is None


def test_an_onset_at_the_very_end_leaves_nothing_to_judge() -> None:
    text, scored = scored_text((100, 9.0))
    found = judge_text(text, scored, onset_character=len(text))
    assert (found.opinion, found.tokens) == (Opinion.UNSURE, 0)


def test_no_word_of_the_text_is_in_an_opinion() -> None:
    """It is stored and served; the text is private."""
    for parts in (((300, 2.5),), ((128, 2.5), (64, 9.0)), ((300, 0.001),)):
        text, scored = scored_text(*parts)
        told = str(judge_text(text, scored))
        assert not [word for word in text.split() if len(word) > 5 and word in told]


def test_windows_cover_the_text_but_for_a_short_rest() -> None:
    text, scored = scored_text((64 + 64 + MIN_TOKENS - 1, 3.0))
    assert [window.tokens for window in cut_windows(text, scored)] == [64, 64]
    text, scored = scored_text((64 + MIN_TOKENS, 3.0))
    assert [window.tokens for window in cut_windows(text, scored)] == [64, MIN_TOKENS]
    assert [window.start for window in cut_windows(text, scored, first=10)] == [10]


def test_the_numbers_of_a_window() -> None:
    """Mean surprisal, ranks, rare tokens and what its characters are like."""
    ranks = [0] * 50 + [5] * 8 + [5000] * 6
    scored = [ScoredToken(rank / 1000, rank, 3 * number) for number, rank in enumerate(ranks)]
    (window,) = cut_windows("abé" * 64, scored)
    assert window.surprisal == pytest.approx((8 * 0.005 + 6 * 5) / 64)
    assert (window.median_rank, window.high_rank) == (0, 5)
    assert window.rare_share == 6 / 64
    assert window.ascii_share == pytest.approx(2 / 3)
    assert window.characters_per_token == 3


def test_a_token_is_found_by_its_character() -> None:
    scored = [ScoredToken(1, 1, start) for start in (0, 4, 4, 9)]
    assert [token_at(scored, character) for character in (0, 1, 4, 5, 10)] == [0, 1, 1, 3, 4]


def test_loops_compress_to_next_to_nothing() -> None:
    assert compressed_share("the same words again and " * 100) < 0.1
