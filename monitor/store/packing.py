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


# As plain numbers and functions: every register of every subject goes through here.
_UNNAMED_FACE, _NAMED_FACE = int(Kind.ENROLLED_UNNAMED), int(Kind.ENROLLED_NAMED)
_PACK, _UNPACK = _ENTRY.pack, _ENTRY.iter_unpack
_NEW = tuple.__new__  # past the constructors of NamedTuple, which take twice as long


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
    stores, places = names.store_by_id, names.place_by_id
    for kind, place_id, store_id, face, major, middle, minor, at, read_at in _UNPACK(data):
        version = _NEW(Version, (major, middle, minor))
        if kind <= _NAMED_FACE:
            held = UNNAMED if kind == _UNNAMED_FACE else face
            place = places[place_id]
            fact = (stores[store_id], held, place, subject, version, at, read_at)
            yield _NEW(Enrolled, fact)
        elif kind == Kind.REMOVED_UNNAMED:
            place = places[place_id]
            yield Removed(stores[store_id], UNNAMED, place, subject, version, at, read_at)
        elif kind == Kind.SUBJECT_REMOVED:
            yield Scoped(*names.scope_by_id[place_id], version)
        else:
            individual = face if kind == Kind.LINKED else None
            yield Linked(processor, subject, individual, version, at)


def pack(names: Names, processor: str, registers: Iterable[Register]) -> bytes:
    """Return the packed row of *registers*, all of one subject of *processor*."""
    places, stores = names.place_ids, names.store_ids
    entries: list[bytes] = []
    for register in registers:
        if isinstance(register, Enrolled):
            store, face, place, _, (major, middle, minor), at, read_at = register
            numbers = (places[place], stores[store.name], face or _NO_FACE)
            kind = _NAMED_FACE if face else _UNNAMED_FACE
            entries.append(_PACK(kind, *numbers, major, middle, minor, at, read_at))
        else:
            entries.append(_entry(names, processor, register))
    return b"".join(entries)


def _entry(names: Names, processor: str, register: Removed | Linked | Scoped) -> bytes:
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
