"""Whether a text is such that no drafter can guess it: keys, hashes, base64, columns of numbers."""

TAIL_CHARACTERS = 128
_ENCODED_SHARE = 0.4  # prose under 0.1, source code under 0.25, hexadecimal about 0.6, base64 0.55
_MIN_CHARACTERS = 32


def is_encoded(tail: str) -> bool:
    """Digits and capitals make up much of the end of a text."""
    signs = "".join(tail.split())
    if len(signs) < _MIN_CHARACTERS:
        return False
    odd = sum(character.isdigit() or character.isupper() for character in signs)
    return odd >= _ENCODED_SHARE * len(signs)
