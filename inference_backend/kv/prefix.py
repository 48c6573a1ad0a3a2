"""Finds pages that already hold the beginning of a sequence. Knows tokens and pages, no tensors."""

from collections.abc import Sequence

Tokens = tuple[int, ...]


class PrefixIndex:
    """A tree of full pages.

    A node is the page itself; its key is the page before it and its tokens.

    ``salt`` separates trees that must not share pages.
    """

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self._children: dict[tuple[int | str, Tokens], int] = {}
        self._keys: dict[int, tuple[int | str, Tokens]] = {}
        self._followers: dict[int | str, set[int]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, page: int) -> bool:
        return page in self._keys

    def match(self, tokens: Sequence[int], salt: str) -> list[int]:
        """Pages of the longest known prefix of ``tokens``, whole pages only."""
        pages: list[int] = []
        parent: int | str = salt
        for start in range(0, len(tokens) - self.page_size + 1, self.page_size):
            page = self._children.get((parent, tuple(tokens[start : start + self.page_size])))
            if page is None:
                break
            pages.append(page)
            parent = page
        return pages

    def insert(self, parent: int | str, tokens: Tokens, page: int) -> None:
        """Makes ``page`` findable after ``parent`` (a page, or the salt for the first one).

        The first page with the same content stays; a later one is not indexed.
        """
        key = (parent, tokens)
        if key not in self._children and page not in self._keys:
            self._children[key] = page
            self._keys[page] = key
            self._followers.setdefault(parent, set()).add(page)

    def remove(self, page: int) -> None:
        """Forgets a page and all that continue it, if it was known.

        A page number is used again for other content, so what continued the old content must go
        with it.
        """
        doomed = [page]
        while doomed:
            current = doomed.pop()
            key = self._keys.pop(current, None)
            if key is None:
                continue
            del self._children[key]
            siblings = self._followers[key[0]]
            siblings.discard(current)
            if not siblings:
                del self._followers[key[0]]
            doomed += self._followers.get(current, ())

    def clear(self) -> None:
        """Forgets all pages: their content is gone."""
        self._children.clear()
        self._keys.clear()
        self._followers.clear()
