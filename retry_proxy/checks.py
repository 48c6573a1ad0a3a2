"""Checks of single options; each names the option and what it must be."""

import enum
from typing import Any

from retry_proxy.addresses import AddressRules
from retry_proxy.errors import InvalidConfig, RefusedAddress


def check(is_good: bool, name: str, wanted: str, value: object) -> None:
    if not is_good:
        raise InvalidConfig(f"{name} must be {wanted}, got {value!r}")


def check_secret(name: str, value: object) -> None:
    """The value itself is not told: it may be a key with a typing error."""
    if value is None:
        return
    check(isinstance(value, str), name, "text", type(value).__name__)
    text = str(value)
    is_visible = text.isascii() and text.isprintable() and " " not in text
    check(text != "" and is_visible, name, "visible ASCII without blanks", "something else")


def check_address(address: str, rules: AddressRules) -> None:
    try:
        rules.check(address)
    except RefusedAddress as error:
        wanted = "replica must be an address such as http://127.0.0.1:30001"
        raise InvalidConfig(f"{wanted}: {error}") from error


def check_enum(name: str, value: object, kind: type[enum.StrEnum]) -> None:
    check(isinstance(value, kind), name, " | ".join(kind), value)


def parse_enum(name: str, value: object, kind: type[enum.StrEnum]) -> enum.StrEnum:
    try:
        return kind(str(value))
    except ValueError as error:
        raise InvalidConfig(f"{name} must be {' | '.join(kind)}, got {value!r}") from error


def check_type(name: str, value: object, kind: Any) -> None:
    is_bool = isinstance(value, bool)
    if kind is bool:
        check(is_bool, name, "true or false", value)
    elif kind == str | None:
        check(value is None or isinstance(value, str), name, "text", value)
    elif kind is int:
        check(isinstance(value, int) and not is_bool, name, "a whole number", value)
    else:
        check(isinstance(value, int | float) and not is_bool, name, "a number", value)
