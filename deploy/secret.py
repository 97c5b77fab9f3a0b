"""The secret under which ids are hashed: read, or made once for a database that has none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from monitor.identity import BadSecret, Identity
from monitor.store.database import WrongDatabase

_VARIABLE = "FACETALLY_SECRET"


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
    person again.
    """
    try:
        return read_secret(file, environ), False
    except UnreadableSecret:
        raise
    except NoSecret as missing:
        if fingerprint is not None:
            raise WrongDatabase(
                f"this database was hashed under a secret that is not here ({missing}); "
                "give it back: no new one is made for it"
            ) from None
    secret = secrets.token_hex(32)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as out:
        out.write(secret + "\n")
        out.flush()
        os.fsync(out.fileno())
    return secret, True
