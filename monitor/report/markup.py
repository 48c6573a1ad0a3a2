"""HTML and SVG that cannot be injected into: whatever is not an element is escaped. Pure."""

from html import escape
from typing import Final

from monitor.incidents.plain import printable

_VOID: Final = frozenset({"meta", "br"})


class Markup(str):
    """Finished markup. Made by ``el`` alone; a plain ``str`` is text."""

    __slots__ = ()


Child = str | Markup | None


def el(tag: str, /, *children: Child, **attributes: object) -> Markup:
    """One element; ``None`` among children or attributes is left out.

    Attributes: ``_`` stands for ``-``, one at the end is dropped (``class_``).
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(printable(_told(value)), quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{named}>")
    return Markup(f"<{tag}{named}>{''.join(map(text, children))}</{tag}>")


def text(child: Child) -> Markup:
    """``child`` as markup."""
    if child is None:
        return Markup("")
    return child if isinstance(child, Markup) else Markup(escape(printable(child), quote=True))


def join(*children: Child) -> Markup:
    """Several, one after the other."""
    return Markup("".join(map(text, children)))


def css(rules: str) -> Markup:
    """A style sheet of ours: nothing foreign may be in it."""
    return Markup(f"<style>{rules}</style>")


def _told(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
