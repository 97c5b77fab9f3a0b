"""Putting a feed where a web server reads it: whole, and only if it says something new."""

from __future__ import annotations

import os
import re
from pathlib import Path

_STAMP = re.compile(rb"^DTSTAMP:.*\r\n", re.MULTILINE)


def write_feed(file: Path, made: bytes) -> bool:
    """Have *file* hold *made*; return whether anything but its DTSTAMPs is new. Raises OSError.

    A file that would say the same is left alone, so that its time of change, by which web servers
    and programs tell news, is one.
    """
    try:
        if _STAMP.sub(b"", file.read_bytes()) == _STAMP.sub(b"", made):
            return False
    except FileNotFoundError:
        pass
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("wb") as output:
            output.write(made)
            output.flush()
            os.fsync(output.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return True
