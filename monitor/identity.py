"""Keyed hashes in place of ids: a raw subject, face or linked id goes no further than here.

BLAKE2b under a secret that is never in the database, 16 bytes, over length-prefixed parts, so
that no two different lists of parts share an input. A subject is hashed within its *namespace*:
private to its processor, unless the name begins with ``shared/``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar

from monitor.facts import UNNAMED, FaceHash, SubjectHash

DEFAULT_NAMESPACE = "default"
SHARED = "shared/"
_SIZE = 16
_MOST_PREFIXES = 65_536
_SECRET = re.compile(r"[0-9a-fA-F]{64}")

_K = TypeVar("_K")


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
        if not _SECRET.fullmatch(secret.strip()):
            raise BadSecret("the secret must be 64 hexadecimal digits")
        self._key = bytes.fromhex(secret.strip())
        self._namespaces = dict(namespaces or {})
        self._of_systems: dict[tuple[str, str | None], hashlib.blake2b] = {}
        self._of_stores: dict[str, hashlib.blake2b] = {}

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
        prefix = self._of_systems.get((processor, system))
        if prefix is None:
            prefix = self._subjects_in(processor, self.namespace(processor, system))
            _remember(self._of_systems, (processor, system), prefix)
        return _under(prefix, subject)

    def subject_in(self, processor: str, namespace: str, subject: str) -> SubjectHash:
        """Hash *subject* in the namespace that is called so at *processor*."""
        return _under(self._subjects_in(processor, namespace), subject)

    def face(self, store: str, face: str | None) -> FaceHash:
        """Hash *face* in its store; an absent or empty face is the unnamed slot."""
        if not face:
            return UNNAMED
        prefix = self._of_stores.get(store)
        if prefix is None:
            prefix = self._prefix("face", store)
            _remember(self._of_stores, store, prefix)
        return _under(prefix, face)

    def _subjects_in(self, processor: str, namespace: str) -> hashlib.blake2b:
        if namespace.startswith(SHARED):
            return self._prefix("shared", namespace)
        return self._prefix("private", processor, namespace)

    def _prefix(self, *scope: str) -> hashlib.blake2b:
        """Return the state of a hash that has read its scope: each id starts from a copy."""
        prefix = hashlib.blake2b(key=self._key, digest_size=_SIZE)
        for part in (str(len(scope) + 1), *scope):
            prefix.update(_part(part.encode()))
        return prefix

    def _hash(self, label: str, data: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=_SIZE)
        digest.update(_part(label.encode()) + _part(data))
        return digest.digest()


def _under(prefix: hashlib.blake2b, name: str) -> bytes:
    data = name.encode()
    digest = prefix.copy()
    digest.update(len(data).to_bytes(4, "big") + data)
    return digest.digest()


def _remember(prefixes: dict[_K, hashlib.blake2b], key: _K, prefix: hashlib.blake2b) -> None:
    if len(prefixes) >= _MOST_PREFIXES:
        prefixes.clear()  # names come from records: their number is not ours to bound
    prefixes[key] = prefix


def _part(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
