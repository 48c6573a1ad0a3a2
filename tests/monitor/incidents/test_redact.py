"""What captured text loses before anybody keeps it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.incidents.redact import CUT, MAX_CHARACTERS, redacted

SECRETS = {
    "openai": "sk-proj-Ab12Cd34Ef56Gh78",
    "anthropic": "sk-ant-api03-abcdefghijkl",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyD-1234567890abcdefghijklmnop",
    "github": "ghp_abcdefghijklmnop1234",
    "grafana": "glsa_abcdefgh12345678",
    "slack": "xoxb-12345678-abcdef",
    "hugging face": "hf_abcdefghijklmnop",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "hash": "9f86d081884c7d659a2feaa0c55ad015",
    "e-mail": "jane.doe+work@mail.example.co.uk",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+49 (30) 901-820",
    "arabic digits": "٠١٢٣٤٥٦٧٨٩",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("around", ["it is {} they said", "\n{}\n", "(see {}) or", '"{}",'])
def test_what_looks_like_a_secret_is_taken_out(secret: str, around: str) -> None:
    """Wherever it stands; the words around it stay."""
    text = redacted(around.format(secret), is_cut=False)
    assert secret not in text
    assert not any(part in text for part in secret.split() if len(part) > 5)
    assert all(word in text for word in around.replace("{}", " ").split() if word.isalpha())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [secret]"),
        ("authorization: basic dXNlcjpwYXNz=", "authorization: basic [secret]"),
        ('{"password": "correct horse", 1}', '{"password": "[secret] horse", 1}'),
        ("OPENAI_API_KEY=hunter22 run", "OPENAI_API_KEY=[secret] run"),
        ("postgres://me:pw@db/x ok", "postgres://[secret]@db/x ok"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "[secret]"),
    ],
)
def test_secrets_that_are_known_by_what_stands_before(text: str, expected: str) -> None:
    assert redacted(text, is_cut=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the the the the the the",
        "componentsietzscheiegelie the angles (* ofealyxomesfor that pymig",
        "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!",
        "In 1815, 42 of 300 ships; a basic knowledge, step 3.14 @ noon",
        "Donaudampfschifffahrtsgesellschaftskapitän",
        "漢字かな交じり文、ほか",
    ],
)
def test_what_shows_how_an_answer_went_wrong_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_secret_cut_at_the_edge_is_not_shown_in_part() -> None:
    """Its beginning, by which it would be known, is outside; or its end."""
    assert redacted("Ab12Cd34Ef and then more") == f"{CUT} and then more"
    assert redacted("write to jane@mai") == f"write to {CUT}"
    assert redacted("the key sk-a") == f"the key {CUT}"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400), st.sampled_from(sorted(SECRETS.values())), st.text(max_size=400))
def test_garbage_around_a_secret_neither_fails_nor_grows(
    before: str, secret: str, after: str
) -> None:
    """Sick answers hold every character there is."""
    text = redacted(f"{before} {secret} {after}")
    assert secret not in text
    assert len(text) <= 2 * MAX_CHARACTERS


@pytest.mark.parametrize("unit", ["a", "1", "a1", "@", "a@", "sk-", "key=", "1 ", "eyJ", "a.", "-"])
def test_no_text_takes_long(unit: str) -> None:
    """The slowest that was found takes 5 ms; a pattern that backtracks takes minutes."""
    began = time.perf_counter()
    redacted(unit * 2000)
    assert time.perf_counter() - began < 5.0
