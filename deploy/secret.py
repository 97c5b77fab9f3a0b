"""The secret under which ids are hashed: read, or made once for a database that has none."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from monitor.identity import BadSecret, Identity
from monitor.store.database import WrongDatabase

_VARIABLE = "FACETALLY_SECRET"
_MODE = 0o600


class NoSecret(RuntimeError):
    """There is no secret to read; the message says where it was looked for."""


class UnreadableSecret(NoSecret):
    """The file of the secret is there and cannot be read: that is no reason to make another."""


def read_secret(file: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the secret from ``FACETALLY_SECRET``, else from *file*.

    Raises NoSecret, or BadSecret if it is not 64 hexadecimal digits.
    """
    given = environ.get(_VARIABLE)
    if given:
        return _checked(given, _VARIABLE)
    try:
        return _checked(file.read_text(encoding="ascii").strip(), str(file))
    except FileNotFoundError:
        raise NoSecret(
            f"there is no secret: neither {_VARIABLE} nor the file {file}; "
            "'facetally db upgrade' makes one for a new database"
        ) from None
    except (OSError, UnicodeDecodeError):
        raise UnreadableSecret(
            f"the secret file {file} cannot be read: check its owner and mode (600)"
        ) from None


def _checked(secret: str, where: str) -> str:
    try:
        Identity(secret)
    except BadSecret:
        raise BadSecret(f"{where}: the secret must be 64 hexadecimal digits") from None
    return secret


def secret_for(
    file: Path, fingerprint: str | None, environ: Mapping[str, str] = os.environ
) -> tuple[str, bool]:
    """Return the secret, and whether it was made just now.

    One is made only for a database without a *fingerprint*: another secret would count every
    person again. A file that is empty, as who was killed while making it leaves it, is filled.
    """
    try:
        return read_secret(file, environ), False
    except UnreadableSecret:
        raise
    except BadSecret:
        if environ.get(_VARIABLE) or fingerprint is not None or file.stat().st_size:
            return read_secret(file, environ), False  # unless it was filled just now, it is bad
    except NoSecret as missing:
        if fingerprint is not None:
            raise WrongDatabase(
                f"this database was hashed under a secret that is not here ({missing}); "
                "give it back: no new one is made for it"
            ) from None
    return _make(file)


def _make(file: Path) -> tuple[str, bool]:
    """Write a secret into *file*, to stay; or return the one that somebody else just wrote."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, _MODE)
    with os.fdopen(handle, "r+", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        theirs = held.read().strip()
        if theirs:
            return _checked(theirs, str(file)), False
        os.fchmod(handle, _MODE)  # an empty file may have been there
        secret = secrets.token_hex(32)
        held.write(secret + "\n")
        held.flush()
        os.fsync(handle)
    _keep_name(file)
    return secret, True


def _keep_name(file: Path) -> None:
    """Have the entry of *file* in its folder outlive a power cut, too."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
