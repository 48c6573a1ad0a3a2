"""What other threads want done by the engine's thread."""

from collections import deque
from collections.abc import Callable

Command = Callable[[], object]


class Mailbox:
    """Commands in the order in which they were posted.

    Attributes:
        wake: called after each post; whoever runs the engine sets it.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self.wake: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._commands)

    def post(self, command: Command) -> None:
        """Any thread."""
        self._commands.append(command)
        self.wake()

    def run(self) -> None:
        """The engine's thread: carries out what is there now."""
        for _ in range(len(self._commands)):
            self._commands.popleft()()
