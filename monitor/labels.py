"""Keeps the number of label values bounded: clients choose model names, and series cost memory."""

OTHER = "other"


class BoundedNames:
    """The first names seen keep their own label value; later ones share ``other``.

    Args:
        limit: how many names get a value of their own.
        max_length: longer names are cut, so that a label stays readable.
    """

    def __init__(self, limit: int, max_length: int = 120) -> None:
        self.limit = limit
        self.max_length = max_length
        self._names: set[str] = set()

    def label(self, name: str, *, may_learn: bool = True) -> str:
        """The label value for ``name``.

        Args:
            may_learn: a name not seen before may take one of the places. False for names that a
                client made up: a refused request must not push a real model out.
        """
        name = name[: self.max_length]
        if name in self._names:
            return name
        if name and may_learn and len(self._names) < self.limit:
            self._names.add(name)
            return name
        return OTHER
