"""What no drafter can guess."""

import base64
import hashlib

import pytest

from detectors.acceptance.encoded import is_encoded
from tests.detectors.streams import CODE, PROSE, soup

DIGEST = hashlib.sha512(b"a").digest()


@pytest.mark.parametrize(
    "text", [DIGEST.hex(), base64.b64encode(DIGEST).decode(), "12.5, 17.25, 9.0, 3.125, " * 4]
)
def test_keys_hashes_and_numbers_are(text: str) -> None:
    assert is_encoded(text)


@pytest.mark.parametrize("text", [PROSE, CODE, soup(100), "", "A1", "一二三四五六七八" * 8])
def test_language_and_code_are_not(text: str) -> None:
    assert not any(is_encoded(text[at : at + 128]) for at in range(0, max(1, len(text)), 64))
