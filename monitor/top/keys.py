"""The keyboard while something else is on the screen. Leaves the terminal as it was."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

QUIT = frozenset("qQ\x03\x04\x1b")  # also Ctrl-C, Ctrl-D and Escape


@contextmanager
def single_keys() -> Iterator[bool]:
    """Keys come one by one and are not shown meanwhile; false where there is no keyboard."""
    if not sys.stdin.isatty():
        yield False
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)
    try:
        yield True
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def wait(seconds: float, *, has_keyboard: bool) -> bool:
    """Waits so long; false if somebody wants to leave before."""
    end = time.monotonic() + seconds
    if not has_keyboard:
        time.sleep(seconds)
        return True
    number = sys.stdin.fileno()
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([number], [], [], left)
        if ready:
            pressed = os.read(number, 64).decode(errors="replace")
            # Arrows and the like begin with Escape too, and are several at once. Nothing at all:
            # the terminal is gone.
            if not pressed or pressed in QUIT or "q" in pressed:
                return False
    return True
