"""What a source can state about storage, as values: one NamedTuple per kind of fact.

A fact carries hashed identities only (``identity.py``); the names of processors, systems and
galleries are those of organisations and places, never of people. A *version* orders facts, an
*instant* dates them, and the two are never mixed up: a change log is ordered by its log position
even where its clock runs backwards. Instants are integers, microseconds since 1970-01-01 UTC.

NamedTuples instead of dataclasses because a worker builds one per record: a frozen dataclass with
slots costs five times as much to create.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

SubjectHash: TypeAlias = bytes
"""16 bytes: a subject in its namespace, under the secret. Also names an individual."""

FaceHash: TypeAlias = bytes
"""16 bytes: a face id in its store, under the secret; ``UNNAMED`` for the unnamed slot."""

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""

UNNAMED: FaceHash = b""


class Order(IntEnum):
    """By what the facts of a store are ordered."""

    TIME = 0
    LOG = 1


class Version(NamedTuple):
    """Position of a fact in its store's own order; compare only within one order.

    ``time``: ``(at, sequence, 0)``. ``log``: ``(epoch, c, l)``. Each part fits 64 unsigned bits.
    The rank (removal 0, enrolment 1) is the kind of the fact and is compared after these.
    """

    major: int
    middle: int
    minor: int


@dataclass(frozen=True, slots=True)
class Store:
    """The set within which face ids are unique, and how its facts are ordered."""

    name: str
    order: Order = Order.TIME


class Place(NamedTuple):
    """A gallery of a system of a processor; the unnamed gallery is the empty text."""

    processor: str
    system: str
    gallery: str


class Enrolled(NamedTuple):
    """A face of *subject* is stored in the slot ``(store, face)``.

    *read_at* is when the source looked: it differs from *at* only for a snapshot row that a
    column dates, and is what counts against scope removals from elsewhere.
    """

    store: Store
    face: FaceHash
    place: Place
    subject: SubjectHash
    version: Version
    at: Instant
    read_at: Instant


class Removed(NamedTuple):
    """The slot ``(store, face)`` holds nothing, whoever owned it.

    For the unnamed slot (``face == UNNAMED``) *place* and *subject* say whose; for a named face
    both are None, because a change log tells only the key of what it deleted.
    """

    store: Store
    face: FaceHash
    place: Place | None
    subject: SubjectHash | None
    version: Version
    at: Instant
    read_at: Instant


class SubjectRemoved(NamedTuple):
    """All faces of *subject* are gone: in a gallery, in a system, or everywhere (None, None)."""

    processor: str
    system: str | None
    gallery: str | None
    subject: SubjectHash
    version: Version
    at: Instant


class Purged(NamedTuple):
    """A gallery, or with ``gallery=None`` a whole system, was emptied."""

    processor: str
    system: str
    gallery: str | None
    version: Version
    at: Instant


class Truncated(NamedTuple):
    """Every slot of *store* was emptied, whoever owned it; ordered by the store's own order."""

    store: Store
    version: Version
    at: Instant


class Linked(NamedTuple):
    """*subject* is *individual* from *at* on; ``individual=None`` takes that back."""

    processor: str
    subject: SubjectHash
    individual: SubjectHash | None
    version: Version
    at: Instant


class Terminated(NamedTuple):
    """The processor has ended its use of face recognition (Art. 15: cancellation)."""

    processor: str
    version: Version
    at: Instant


class Changed(NamedTuple):
    """Filed facts changed materially (Art. 15: change filing); *what* is a closed, plain list."""

    processor: str
    what: tuple[str, ...]
    version: Version
    at: Instant


class Filed(NamedTuple):
    """A step of a filing was told.

    *kind* is ``submitted``, ``returned``, ``completed``, ``failed`` or ``terminated``. *rule*,
    *duty* (its key) and *reference* are None where they were not told.
    """

    processor: str
    kind: str
    rule: str | None
    duty: str | None
    reference: str | None
    version: Version
    at: Instant


StorageFact: TypeAlias = Enrolled | Removed | SubjectRemoved | Purged | Truncated | Linked
"""What the ledger folds."""

Told: TypeAlias = Terminated | Changed | Filed
"""What says nothing about storage, and bears on duties."""

Fact: TypeAlias = StorageFact | Told
