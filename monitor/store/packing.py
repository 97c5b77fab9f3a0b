"""Facts as bytes and back: the packed row of a subject, and the columns of the book.

One row holds all registers of one subject at one processor: their slots, removals of the subject,
and their link. Measured against a row per slot, one packed row is what keeps a batch at one read
and one write per individual (DESIGN section 10).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from monitor.facts import (
    UNNAMED,
    Enrolled,
    Linked,
    Removed,
    SubjectHash,
    Version,
)
from monitor.store.names import Names, ScopeKind

_ENTRY = struct.Struct(">BII16sQQQQQ")
_VERSION = struct.Struct(">QQQ")
_NO_FACE = bytes(16)


class Kind(IntEnum):
    """What an entry of a packed row is."""

    ENROLLED_UNNAMED = 1
    ENROLLED_NAMED = 2
    REMOVED_UNNAMED = 3
    SUBJECT_REMOVED = 4
    LINKED = 5
    UNLINKED = 6


class Scoped(NamedTuple):
    """Removal of a subject within a scope (system and gallery, None for all)."""

    system: str | None
    gallery: str | None
    version: Version


Register: TypeAlias = Enrolled | Removed | Linked | Scoped


def pack_version(version: Version) -> bytes:
    """Return 24 bytes that sort as the version does."""
    return _VERSION.pack(*version)


def unpack_version(data: bytes) -> Version:
    """Return the version that ``pack_version`` wrote."""
    return Version(*_VERSION.unpack(data))


def unpack(names: Names, processor: str, subject: SubjectHash, data: bytes) -> Iterator[Register]:
    """Yield the registers in a packed row."""
    for kind, place_id, store_id, face, major, middle, minor, at, read_at in _ENTRY.iter_unpack(
        data
    ):
        version = Version(major, middle, minor)
        if kind <= Kind.ENROLLED_NAMED:
            face_hash = face if kind == Kind.ENROLLED_NAMED else UNNAMED
            store, place = names.store_by_id[store_id], names.place_by_id[place_id]
            yield Enrolled(store, face_hash, place, subject, version, at, read_at)
        elif kind == Kind.REMOVED_UNNAMED:
            store, place = names.store_by_id[store_id], names.place_by_id[place_id]
            yield Removed(store, UNNAMED, place, subject, version, at, read_at)
        elif kind == Kind.SUBJECT_REMOVED:
            yield Scoped(*names.scope_by_id[place_id], version)
        else:
            individual = face if kind == Kind.LINKED else None
            yield Linked(processor, subject, individual, version, at)


def pack(names: Names, processor: str, registers: Iterable[Register]) -> bytes:
    """Return the packed row of *registers*, all of one subject of *processor*."""
    return b"".join([_entry(names, processor, register) for register in registers])


def _entry(names: Names, processor: str, register: Register) -> bytes:
    if isinstance(register, Enrolled):
        kind = Kind.ENROLLED_NAMED if register.face else Kind.ENROLLED_UNNAMED
        return _ENTRY.pack(
            kind,
            names.place_ids[register.place],
            names.store_ids[register.store.name],
            register.face or _NO_FACE,
            *register.version,
            register.at,
            register.read_at,
        )
    if isinstance(register, Removed):
        assert register.place is not None  # noqa: S101 - only the unnamed slot is kept here
        return _ENTRY.pack(
            Kind.REMOVED_UNNAMED,
            names.place_ids[register.place],
            names.store_ids[register.store.name],
            _NO_FACE,
            *register.version,
            register.at,
            register.read_at,
        )
    if isinstance(register, Linked):
        kind = Kind.UNLINKED if register.individual is None else Kind.LINKED
        individual = register.individual or _NO_FACE
        return _ENTRY.pack(kind, 0, 0, individual, *register.version, register.at, 0)
    scope_id = names.scope_ids[processor, register.system, register.gallery]
    at = register.version.major
    return _ENTRY.pack(Kind.SUBJECT_REMOVED, scope_id, 0, _NO_FACE, *register.version, at, 0)


__all__ = [
    "Kind",
    "Register",
    "ScopeKind",
    "Scoped",
    "pack",
    "pack_version",
    "unpack",
    "unpack_version",
]
