"""The one merge rule: which slots are live, and so who is stored.

A ``Ledger`` is a fold of storage facts, and the result does not depend on the order or the number
of times they are applied (DESIGN section 3). It is used whole, over a book, for as-of numbers,
trigger days and ``verify``; and in part, over just the rows that a batch touches, by the store.
Nothing here reads a clock, a database or a topic.

A slot is a last-writer-wins register; its value is simply the newest fact about it. A scope
removal is one register per scope, whatever it covers. Whether a slot is live is never kept: it is
the comparison of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from monitor.facts import (
    Enrolled,
    FaceHash,
    Linked,
    Order,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    SubjectRemoved,
    Truncated,
    Version,
)

SlotKey: TypeAlias = tuple[str, FaceHash, SubjectHash, Place | None]
"""Store name and face; for an unnamed slot an empty face, the subject and the gallery."""

SubjectKey: TypeAlias = tuple[str, SubjectHash]
"""A processor's subject, or individual."""

PlaceScope: TypeAlias = tuple[str, str, str | None]
"""Processor, system and gallery; None is the whole system."""

SubjectScope: TypeAlias = tuple[str | None, str | None]
"""System and gallery in which a subject was removed; None is all of them."""

Assignment: TypeAlias = Enrolled | Removed


class Standing(NamedTuple):
    """Where an individual is stored: in the statutory number, in research, in which systems."""

    operation: bool
    research: bool
    systems: frozenset[str]


NOWHERE = Standing(operation=False, research=False, systems=frozenset())


def slot_of(fact: Assignment) -> SlotKey:
    """Return the register that *fact* is about."""
    if fact.face:
        return (fact.store.name, fact.face, b"", None)
    return (fact.store.name, fact.face, fact.subject or b"", fact.place)


def precedence(fact: Assignment) -> tuple[Version, int, bytes, tuple[str, ...], int, int]:
    """Order the assignments of one slot totally: version, rank, larger hashed owner.

    The instants come last, and only so that two readings of one version merge to one value.
    """
    if isinstance(fact, Enrolled):
        return (fact.version, 1, fact.subject, fact.place, fact.at, fact.read_at)
    return (fact.version, 0, b"", (), fact.at, fact.read_at)


def newer(fact: Assignment, known: Assignment) -> bool:
    """Tell whether *fact* replaces *known* in their slot."""
    if fact.version != known.version:
        return fact.version > known.version
    return precedence(fact) > precedence(known)


def link_precedence(fact: Linked) -> tuple[Version, int, bytes, int]:
    """At an equal version ``unlinked`` wins, and of two links the larger individual."""
    return (fact.version, int(fact.individual is None), fact.individual or b"", fact.at)


def outlives(fact: Enrolled, removal: Version) -> bool:
    """Tell whether *fact* is newer than a scope removal that is ordered by time.

    Between a change log and such a removal only instant and rank count, so a tie keeps the face.
    """
    if fact.store.order is Order.LOG:
        return fact.read_at >= removal.major
    return fact.version >= removal


class Stock:
    """Distinct individuals of one processor: in operation, in research, and by system."""

    __slots__ = ("individuals", "research", "systems")

    def __init__(self) -> None:
        self.individuals = 0
        self.research = 0
        self.systems: dict[str, int] = {}

    def shift(self, before: Standing, after: Standing) -> None:
        """Count one individual's move from *before* to *after*."""
        self.individuals += after.operation - before.operation
        self.research += after.research - before.research
        if before.systems == after.systems:
            return
        for system in before.systems - after.systems:
            self.systems[system] -= 1
        for system in after.systems - before.systems:
            self.systems[system] = self.systems.get(system, 0) + 1

    def add(self, other: Stock) -> None:
        """Count the individuals of *other*, none of whom is counted here, too."""
        self.individuals += other.individuals
        self.research += other.research
        for system, individuals in other.systems.items():
            self.systems[system] = self.systems.get(system, 0) + individuals


def _system(place: Place) -> tuple[str]:
    return (place.system,)


class Ledger:
    """Registers of slots, links and scope removals, and the stock that follows from them.

    *research* tells which places are outside the statutory number (Art. 2). ``apply`` any facts in
    any order, then ``settle``: only then are ``stock`` and ``standing`` up to date.

    With *counts* only the individuals for whom it is true have a standing and are in the stock: a
    ledger that holds a part of the facts knows only some people whole. What stands under
    ``systems`` is counted by *labels*: the system of a place, unless something finer is asked for.
    """

    def __init__(
        self,
        research: Callable[[Place], bool],
        counts: Callable[[SubjectKey], bool] | None = None,
        labels: Callable[[Place], Iterable[str]] = _system,
    ) -> None:
        self._research = research
        self._counts = counts
        self._labels = labels
        self.slots: dict[SlotKey, Assignment] = {}
        self.owned: dict[SubjectKey, dict[SlotKey, Assignment]] = {}
        self.links: dict[SubjectKey, Linked] = {}
        self.members: dict[SubjectKey, set[SubjectHash]] = {}
        self.subject_scopes: dict[SubjectKey, dict[SubjectScope, Version]] = {}
        self.place_scopes: dict[PlaceScope, Version] = {}
        self.store_scopes: dict[str, Version] = {}
        self.standing: dict[SubjectKey, Standing] = {}
        self.stock: dict[str, Stock] = {}
        self._unsettled: set[SubjectKey] = set()
        self._standings: dict[frozenset[Place], Standing] = {}

    # -- folding ---------------------------------------------------------------------------

    def apply(self, fact: StorageFact) -> bool:
        """Fold *fact* in; return False if it is known already or says nothing new *now*."""
        if isinstance(fact, (Enrolled, Removed)):
            key = slot_of(fact)
            return self.assign(key, fact, self.slots.get(key))
        if isinstance(fact, SubjectRemoved):
            return self._remove_subject(fact)
        if isinstance(fact, Linked):
            return self._link(fact)
        return self._purge(fact)

    def apply_all(self, facts: Iterable[StorageFact]) -> None:
        """Fold *facts* and settle."""
        for fact in facts:
            self.apply(fact)
        self.settle()

    def settle(self) -> None:
        """Bring standings and stock up to date with what was applied."""
        standing, stand, counts = self.standing, self._stand, self._counts
        for key in self._unsettled:
            if counts is not None and not counts(key):
                continue
            before = standing.get(key, NOWHERE)
            after = stand(key)
            if after is before or after == before:
                continue
            stock = self.stock.get(key[0])
            if stock is None:
                stock = self.stock[key[0]] = Stock()
            stock.shift(before, after)
            if after is NOWHERE:
                del standing[key]
            else:
                standing[key] = after
        self._unsettled.clear()

    def assign(self, key: SlotKey, fact: Assignment, known: Assignment | None) -> bool:
        """Do as ``apply`` does for a *fact* whose slot *key* is known to hold *known*."""
        if known is not None and not newer(fact, known):
            return False
        self.slots[key] = fact
        if isinstance(known, Enrolled):
            self._disown(key, (known.place.processor, known.subject))
        self.own(key, fact)
        return True

    def own(self, key: SlotKey, fact: Assignment) -> None:
        """Put the newest assignment of a slot among its owner's (an unnamed tombstone too)."""
        if fact.place is None or fact.subject is None:
            return
        owner = (fact.place.processor, fact.subject)
        slots = self.owned.get(owner)
        if slots is None:
            self.owned[owner] = {key: fact}
        else:
            slots[key] = fact
        self._unsettle(owner)

    def _disown(self, key: SlotKey, owner: SubjectKey) -> None:
        slots = self.owned.get(owner)
        if slots is not None:
            slots.pop(key, None)
        self._unsettle(owner)

    def _remove_subject(self, fact: SubjectRemoved) -> bool:
        key = (fact.processor, fact.subject)
        scopes = self.subject_scopes.setdefault(key, {})
        scope = (fact.system, fact.gallery)
        if fact.version <= scopes.get(scope, _NEVER):
            return False
        scopes[scope] = fact.version
        self._unsettle(key)
        return True

    def _link(self, fact: Linked) -> bool:
        key = (fact.processor, fact.subject)
        known = self.links.get(key)
        if known is not None and link_precedence(fact) <= link_precedence(known):
            return False
        self._unsettle(key)  # who they were
        if known is not None and known.individual is not None:
            self.members[fact.processor, known.individual].discard(fact.subject)
        self.links[key] = fact
        self.join(fact)
        self._unsettle(key)  # who they are now
        return True

    def join(self, fact: Linked) -> None:
        """Put the subject of a link in force among the members of its individual."""
        if fact.individual is not None:
            self.members.setdefault((fact.processor, fact.individual), set()).add(fact.subject)

    def _purge(self, fact: Purged | Truncated) -> bool:
        if isinstance(fact, Truncated):
            return self._truncate(fact)
        scope = (fact.processor, fact.system, fact.gallery)
        if fact.version <= self.place_scopes.get(scope, _NEVER):
            return False
        self.place_scopes[scope] = fact.version
        for owner, slots in self.owned.items():
            if owner[0] == fact.processor and any(_within(s, scope) for s in slots.values()):
                self._unsettle(owner)
        return True

    def _truncate(self, fact: Truncated) -> bool:
        if fact.version <= self.store_scopes.get(fact.store.name, _NEVER):
            return False
        self.store_scopes[fact.store.name] = fact.version
        for owner, slots in self.owned.items():
            if any(key[0] == fact.store.name for key in slots):
                self._unsettle(owner)
        return True

    # -- reading ---------------------------------------------------------------------------

    def knows(self, fact: StorageFact) -> bool:
        """Tell whether *fact* is, to the letter, what its register holds: a repetition."""
        if isinstance(fact, (Enrolled, Removed)):
            return self.slots.get(slot_of(fact)) == fact
        if isinstance(fact, Linked):
            return self.links.get((fact.processor, fact.subject)) == fact
        if isinstance(fact, SubjectRemoved):
            scopes = self.subject_scopes.get((fact.processor, fact.subject), {})
            return scopes.get((fact.system, fact.gallery)) == fact.version
        if isinstance(fact, Truncated):
            return self.store_scopes.get(fact.store.name) == fact.version
        return self.place_scopes.get((fact.processor, fact.system, fact.gallery)) == fact.version

    def individual(self, subject: SubjectKey) -> SubjectHash:
        """Return the individual that *subject* is: one step, never a chain."""
        link = self.links.get(subject)
        if link is None or link.individual is None:
            return subject[1]
        return link.individual

    def live(self, fact: Enrolled) -> bool:
        """Tell whether *fact*, the newest of its slot, is newer than all that covers it."""
        removal = self.store_scopes.get(fact.store.name)
        if removal is not None and fact.version < removal:
            return False
        place = fact.place
        if self.place_scopes:
            for scope in (place, (place.processor, place.system, None)):
                removal = self.place_scopes.get(scope)
                if removal is not None and not outlives(fact, removal):
                    return False
        scopes = self.subject_scopes.get((place.processor, fact.subject))
        if scopes is None:
            return True
        covering = ((None, None), (place.system, None), (place.system, place.gallery))
        removals = (scopes[scope] for scope in covering if scope in scopes)
        return all(outlives(fact, removal) for removal in removals)

    def alike(self, one: Place, other: Place) -> bool:
        """Tell whether both places are in the statutory number, or both in research."""
        return one == other or self._research(one) == self._research(other)

    def touch(self, subject: SubjectKey) -> None:
        """Have the standing of *subject*'s individual looked at again by ``settle``."""
        self._unsettle(subject)

    def _unsettle(self, subject: SubjectKey) -> None:
        if not self.links:
            self._unsettled.add(subject)
            return
        self._unsettled.add((subject[0], self.individual(subject)))

    def _stand(self, individual: SubjectKey) -> Standing:
        places: set[Place] = set()
        if not self.links or self.individual(individual) == individual[1]:
            self._live_places(individual, places)
        for subject in self.members.get(individual, ()) if self.members else ():
            self._live_places((individual[0], subject), places)
        return self._standing_at(frozenset(places)) if places else NOWHERE

    def _live_places(self, subject: SubjectKey, places: set[Place]) -> None:
        slots = self.owned.get(subject)
        if not slots:
            return
        # Settling is half of the fold's work: what covers nobody here is not asked about slot by
        # slot, and classes are compared, which no fact is a subclass of.
        covered = self.place_scopes or self.store_scopes or subject in self.subject_scopes
        for fact in slots.values():
            if type(fact) is Enrolled and (not covered or self.live(fact)):
                places.add(fact.place)

    def _standing_at(self, places: frozenset[Place]) -> Standing:
        standing = self._standings.get(places)
        if standing is None:
            research = {self._research(place) for place in places}
            systems = frozenset(label for place in places for label in self._labels(place))
            standing = Standing(False in research, True in research, systems)
            self._standings[places] = standing
        return standing


_NEVER = Version(-1, 0, 0)


def _within(fact: Assignment, scope: PlaceScope) -> bool:
    if fact.place is None:
        return False
    return fact.place[:2] == scope[:2] and scope[2] in {None, fact.place.gallery}
