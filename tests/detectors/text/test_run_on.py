"""Chains of nouns without punctuation."""

from detectors.verdict import AnomalyKind
from tests.detectors.text.texts import PROSE, first_verdict

NOUNS = (
    "cucumbers peppers tomatoes strawberries raspberries blackberries turnips carrots pumpkins "
    "eggplants potatoes melons zucchini onions garlic celery fennel coriander oregano rosemary "
    "lavender barley wheat mustard spinach lettuce cabbage radishes parsley thyme basil saffron "
)


def test_a_chain_of_nouns_is_found() -> None:
    verdict = first_verdict(PROSE + "They sell " + NOUNS * 4)
    assert verdict is not None
    assert verdict.kind is AnomalyKind.GARBLED
    assert verdict.alarm_token <= len(PROSE) // 4 + 160


def test_a_list_of_nouns_is_healthy() -> None:
    assert first_verdict(PROSE + NOUNS.replace(" ", ", ") * 3) is None
    assert first_verdict(PROSE + NOUNS.replace(" ", "\n") * 3) is None


def test_breathless_prose_is_healthy() -> None:
    """No punctuation for long, but with the short words that prose needs."""
    assert first_verdict(PROSE.replace(",", "").replace(".", "")) is None
