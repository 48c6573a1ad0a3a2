"""Runs a command that ends when its starter does: ``python tether.py COMMAND ...``.

A starter that is killed cleans up nothing. This holds the other end of its pipe, as stdin, and with
the pipe's end it kills its process group, itself and what the command has started included. It
must be the leader of a group (``start_new_session``). Standard library only.
"""

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """The command's exit status; SIGTERM is passed on to it."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_until_starter_is_gone, daemon=True).start()
    return child.wait()


def _until_starter_is_gone() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    assert os.getpgid(0) == os.getpid(), "not the leader: others would be killed"
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
