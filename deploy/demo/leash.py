"""Becomes the command that it is given, which then ends when its parent does, by SIGKILL too.

Run as a file: ``python leash.py PARENT COMMAND...``. The kernel keeps the promise (Linux), so
there is no watcher that could itself be killed. Elsewhere the command is only started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Tie ourselves to *parent* and become *command*."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we were tied to it
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
