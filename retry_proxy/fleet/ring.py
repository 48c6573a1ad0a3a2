"""Consistent hashing: who is next to a key, and after that one. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from retry_proxy.fleet.demand import hash_key

_POINTS_EACH = 64  # shares within about an eighth of each other


class Ring:
    """Names on a circle; a name that comes or goes moves only the keys next to its points."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._points: list[tuple[int, str]] = []
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Puts a new name on the circle."""
        self._points += [(hash_key(f"{name}#{number}"), name) for number in range(_POINTS_EACH)]
        self._points.sort()  # a sorted run and a short tail: linear

    def remove(self, name: str) -> None:
        """Takes a name off the circle."""
        self._points = [point for point in self._points if point[1] != name]

    def walk(self, key: int) -> Iterator[str]:
        """Every name once, in the order of their distance from the key."""
        points, seen = self._points, set[str]()
        start = bisect_left(points, (key,))
        for step in range(len(points)):
            name = points[(start + step) % len(points)][1]
            if name not in seen:
                seen.add(name)
                yield name
