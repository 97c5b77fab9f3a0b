"""Keyed hashes in place of ids: a raw subject, face or linked id goes no further than here.

BLAKE2b under a secret that is never in the database, 16 bytes, over length-prefixed parts, so
that no two different lists of parts share an input. A subject is hashed within its *namespace*:
private to its processor, unless the name begins with ``shared/``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from monitor.facts import UNNAMED, FaceHash, SubjectHash

DEFAULT_NAMESPACE = "default"
_SIZE = 16


class BadSecret(ValueError):
    """The secret is not 64 hexadecimal digits; the message never quotes it."""


class Identity:
    """Hash ids of subjects and faces under one secret (64 hexadecimal digits).

    *namespaces* gives the namespace of each ``(processor, system)`` that does not use its
    processor's default one.
    """

    def __init__(
        self, secret: str, namespaces: Mapping[tuple[str, str], str] | None = None
    ) -> None:
        try:
            key = bytes.fromhex(secret.strip())
        except ValueError:
            key = b""
        if len(key) != 32:  # noqa: PLR2004 - 64 digits are 32 bytes
            raise BadSecret("the secret must be 64 hexadecimal digits")
        self._key = key
        self._namespaces = dict(namespaces or {})
        self._prefixes: dict[tuple[str, ...], hashlib.blake2b] = {}

    @property
    def fingerprint(self) -> str:
        """Tells two secrets apart without revealing either; kept in the database."""
        return self._hash("fingerprint", b"").hex()

    def namespace(self, processor: str, system: str | None) -> str:
        """Return the name of the namespace that *system* uses; None means the default one."""
        if system is None:
            return DEFAULT_NAMESPACE
        return self._namespaces.get((processor, system), DEFAULT_NAMESPACE)

    def subject(self, processor: str, system: str | None, subject: str) -> SubjectHash:
        """Hash *subject* in the namespace of *system*, or in the default one (None)."""
        return self.subject_in(processor, self.namespace(processor, system), subject)

    def subject_in(self, processor: str, namespace: str, subject: str) -> SubjectHash:
        """Hash *subject* in the namespace that is called so at *processor*."""
        if namespace.startswith("shared/"):
            return self._hash_in(("shared", namespace), subject)
        return self._hash_in(("private", processor, namespace), subject)

    def face(self, store: str, face: str | None) -> FaceHash:
        """Hash *face* in its store; an absent or empty face is the unnamed slot."""
        return self._hash_in(("face", store), face) if face else UNNAMED

    def _hash_in(self, scope: tuple[str, ...], name: str) -> bytes:
        prefix = self._prefixes.get(scope)
        if prefix is None:
            prefix = hashlib.blake2b(key=self._key, digest_size=_SIZE)
            for part in (str(len(scope) + 1), *scope):
                prefix.update(_part(part.encode()))
            self._prefixes[scope] = prefix
        digest = prefix.copy()
        digest.update(_part(name.encode()))
        return digest.digest()

    def _hash(self, label: str, data: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=_SIZE)
        digest.update(_part(label.encode()) + _part(data))
        return digest.digest()


def _part(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
