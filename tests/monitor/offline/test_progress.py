"""The bar: on a terminal, on standard error, and nowhere else."""

import io

import pytest
from rich.console import Console

from monitor.offline.progress import with_progress


def bar_output(items: list[int], *, is_terminal: bool, is_shown: bool = True) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal)
    seen = with_progress(items, "scanning", None, is_shown=is_shown, console=console)
    assert list(seen) == items
    return screen.getvalue()


def test_a_terminal_sees_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays clean."""
    assert "records" in bar_output([1, 2, 3], is_terminal=True)
    assert capsys.readouterr() == ("", "")


def test_a_pipe_and_a_short_input_see_nothing() -> None:
    """Nobody looks, or nobody has to wait."""
    assert bar_output([1, 2, 3], is_terminal=False) == ""
    assert bar_output([1, 2, 3], is_terminal=True, is_shown=False) == ""
    assert bar_output([], is_terminal=False) == ""


def test_what_is_printed_meanwhile_still_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the bar on a terminal and the output in a file, the file gets the lines."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True)
    for item in with_progress(["a", "b"], "scanning", None, console=console):
        print(item)
    assert capsys.readouterr().out == "a\nb\n"
    assert "records" in screen.getvalue()
