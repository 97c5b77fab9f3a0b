"""Dividing individuals into parts that can be folded one after the other.

A part holds every fact that can bear on its individuals, and counts nobody else: facts are given
to several parts where they concern several, so no part has to know another one.

- What is said of a subject goes to the part of each individual that the subject ever was: itself,
  and everybody it was ever linked to.
- Of a named slot a subject must know when it got the face and when it lost it. A fact that became
  the newest of its slot goes to its owner and to the owner of the one it replaced (``Faces``); the
  others change nothing at any instant.
- Removals of galleries, systems and stores go to every part.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.facts import Enrolled, Removed
from monitor.ledger import SlotKey, SubjectKey, newer, slot_of

_BITS = 32


def part_of(hashed: bytes, parts: int) -> int:
    """Return which of *parts* a subject, individual or face is in: by its first bytes."""
    return int.from_bytes(hashed[:4], "big") * parts >> _BITS


class Faces:
    """Who gets and who loses a named face, fact by fact, oldest instant first."""

    def __init__(self) -> None:
        self._newest: dict[SlotKey, Enrolled | Removed] = {}

    def concerned(self, fact: Enrolled | Removed) -> Iterator[SubjectKey]:
        """Yield the owners, before and after, of the slot that *fact* changes."""
        key = slot_of(fact)
        known = self._newest.get(key)
        if known is not None and not newer(fact, known):
            return
        self._newest[key] = fact
        after = _owner(fact)
        before = None if known is None else _owner(known)
        if after is not None:
            yield after
        if before is not None and before != after:
            yield before


def _owner(fact: Enrolled | Removed) -> SubjectKey | None:
    if fact.place is None or fact.subject is None:
        return None
    return fact.place.processor, fact.subject
