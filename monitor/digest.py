"""One number for all registers: two stores with the same facts have the same digest.

The sum, modulo 2**128, of a hash of every register. A sum needs no order, so the registers can be
read in whatever order the database gives them. Names go in, never the numbers by which a database
abbreviates them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from monitor.facts import Linked, Truncated, Version
from monitor.ledger import Assignment, Ledger, PlaceScope, SubjectKey, SubjectScope

_MODULUS = 1 << 128


class Sum:
    """A digest that registers are added to one by one."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, register: tuple[object, ...]) -> None:
        """Add one register; each must be added once."""
        self._total += _hash(register)

    def add_all(self, registers: Iterable[tuple[object, ...]]) -> None:
        """Add each of *registers*."""
        for register in registers:
            self._total += _hash(register)

    def __str__(self) -> str:
        return f"{self._total % _MODULUS:032x}"


def digest(ledger: Ledger) -> str:
    """Return the digest of all registers of *ledger*, 32 hexadecimal digits."""
    return combine(registers(ledger))


def combine(registers: Iterable[tuple[object, ...]]) -> str:
    """Return the digest of *registers*, in any order."""
    total = Sum()
    total.add_all(registers)
    return str(total)


def registers(ledger: Ledger) -> Iterator[tuple[object, ...]]:
    """Yield every register as plain values: slots, links, and scope removals of each kind."""
    yield from (slot_register(fact) for fact in ledger.slots.values())
    yield from (link_register(link) for link in ledger.links.values())
    for subject, scopes in ledger.subject_scopes.items():
        yield from (subject_register(subject, scope, v) for scope, v in scopes.items())
    yield from (place_register(scope, v) for scope, v in ledger.place_scopes.items())
    yield from (store_register(name, v) for name, v in ledger.store_scopes.items())


def slot_register(fact: Assignment) -> tuple[object, ...]:
    """Return the newest assignment of a slot as plain values."""
    owner = (*fact.place, fact.subject) if fact.place and fact.subject else ()
    kind = type(fact).__name__
    return (kind, fact.store.name, fact.face, *owner, *fact.version, fact.at, fact.read_at)


def link_register(link: Linked) -> tuple[object, ...]:
    """Return the newest link of a subject as plain values."""
    return ("link", link.processor, link.subject, link.individual, *link.version, link.at)


def subject_register(
    subject: SubjectKey, scope: SubjectScope, version: Version
) -> tuple[object, ...]:
    """Return the newest removal of a subject in a scope as plain values."""
    return ("subject", *subject, *scope, *version)


def place_register(scope: PlaceScope, version: Version) -> tuple[object, ...]:
    """Return the newest purge of a gallery or system as plain values."""
    return ("place", *scope, *version)


def store_register(store: str, version: Version) -> tuple[object, ...]:
    """Return the newest truncation of a store as plain values."""
    return (Truncated.__name__, store, *version)


def _hash(register: tuple[object, ...]) -> int:
    data = repr(register).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "big")
