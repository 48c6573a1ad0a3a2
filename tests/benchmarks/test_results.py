"""Results as Markdown."""

from benchmarks.prompts import PROMPTS
from benchmarks.results import Report, conditions, markdown


def test_a_report_is_a_table_with_its_conditions() -> None:
    report = Report(
        name="speed",
        title="Tokens per second",
        device="cpu",
        columns=["", "1 at once"],
        rows=[["engine | drafts", "12.5"]],
        notes=["Medians."],
    )
    text = markdown(report, {"hardware": "a machine", "torch": "2"})
    assert text.splitlines() == [
        "# Tokens per second",
        "",
        "- hardware: a machine",
        "- torch: 2",
        "",
        "|  | 1 at once |",
        "| --- | --- |",
        "| engine \\| drafts | 12.5 |",
        "",
        "- Medians.",
    ]


def test_the_conditions_name_what_is_needed_to_repeat_it() -> None:
    assert {"hardware", "torch", "transformers", "command", "date"} <= conditions("cpu").keys()


def test_the_prompts_are_sixty_four_different_ones() -> None:
    assert len(set(PROMPTS)) == len(PROMPTS) == 64
