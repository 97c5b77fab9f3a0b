"""What channels keep secret: given in the settings, in a file, or in a variable of the environment.

A worker reads the same settings as the process that sends, and need not be able to read these: who
opens no channel is not refused for a secret that is not there.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.reading import BadConfig, Table

log = logging.getLogger(__name__)

_LONGEST: Final = 65_536  # bytes


class NotHere(BadConfig):
    """A secret cannot be read here and now; the message says where it was looked for."""


class Secrets:
    """Takes secrets of one table: ``key``, ``key_file`` or ``key_env``, one of them."""

    def __init__(self, table: Table, here: Path, environ: Mapping[str, str]) -> None:
        self._table, self._here, self._environ = table, here, environ

    def take(self, key: str) -> str | None:
        """Return the secret, or None. Raises BadConfig, and NotHere if it cannot be read."""
        ways = {name: self._table.optional(name) for name in (key, f"{key}_file", f"{key}_env")}
        given = [name for name, value in ways.items() if value is not None]
        at = f"{self._table.at}.{key}"
        if len(given) > 1:
            raise BadConfig(f"{at}: give one of {', '.join(ways)}, not {' and '.join(given)}")
        file, variable = ways[f"{key}_file"], ways[f"{key}_env"]
        if file is not None:
            return _of_file(self._here / file, f"{at}_file")
        if variable is not None:
            return _of_variable(variable, self._environ, f"{at}_env")
        return ways[key]

    def required(self, key: str, what: str = "") -> str:
        """Return the secret, which must be there; *what* it is."""
        found = self.take(key)
        if found is None:
            more = f" ({what})" if what else ""
            at = f"{self._table.at}.{key}"
            raise BadConfig(f"{at}: is missing; give {key}, {key}_file or {key}_env{more}")
        return found


def _of_variable(name: str, environ: Mapping[str, str], at: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise NotHere(f"{at}: the environment has no variable {name}")
    return _one_line(value, at)


def _of_file(file: Path, at: str) -> str:
    try:
        with file.open("rb") as held:
            _check_mode(os.fstat(held.fileno()).st_mode, file, at)
            text = held.read(_LONGEST + 1).decode()
    except (OSError, UnicodeDecodeError):
        raise NotHere(f"{at}: cannot be read as a text; check owner and mode of the file") from None
    if not text.strip() or len(text) > _LONGEST:
        raise BadConfig(f"{at}: the file is empty or too long")
    return _one_line(text.strip(), at)


def _check_mode(mode: int, file: Path, at: str) -> None:
    """Who can write the file decides who is told, and who can read it can tell lies for us."""
    if mode & stat.S_IWOTH:
        raise BadConfig(f"{at}: anybody may write that file; chmod 600")
    if mode & stat.S_IROTH:
        log.warning("%s: anybody on this machine may read %s; chmod 600", at, file.name)


def _one_line(text: str, at: str) -> str:
    if not text.isprintable():
        raise BadConfig(f"{at}: must be a text, one line")
    return text
