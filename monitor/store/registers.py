"""The registers in SQL: the part of the ledger that a batch touches, read, merged and written.

The merge rule is ``monitor.ledger`` and nowhere else. ``Working`` loads into a ``Ledger`` every
register that the facts of a batch can touch, lets it fold them, and writes back what changed. The
caller holds the locks (``locks.py``) on the stores and processors that ``Working`` names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, exists, select

from monitor.facts import (
    Enrolled,
    Linked,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    SubjectRemoved,
    Truncated,
)
from monitor.ledger import Ledger, SlotKey, SubjectKey, slot_of
from monitor.marks import Marks
from monitor.store import bulk, schema
from monitor.store.names import Names
from monitor.store.packing import (
    Register,
    Scoped,
    pack,
    pack_version,
    unpack,
    unpack_version,
)

_PLACE, _STORE = 0, 1


class Working:
    """A ledger that holds just what some facts touch."""

    def __init__(self, connection: Connection, names: Names, marks: Marks) -> None:
        self._connection = connection
        self._names = names
        self.ledger = Ledger(marks.research)
        self.loaded: set[SubjectKey] = set()
        self._known: set[SubjectKey] = set()  # had a row
        self._faces: set[SlotKey] = set()

    # -- reading ---------------------------------------------------------------------------

    def load_faces(self, facts: Iterable[StorageFact]) -> set[str]:
        """Read the owners of the named slots in *facts*; return the processors that own them.

        Call it with the stores locked: only then do the owners stay what they are.
        """
        wanted: dict[str, set[bytes]] = defaultdict(set)
        for fact in facts:
            if isinstance(fact, (Enrolled, Removed)) and fact.face:
                wanted[fact.store.name].add(fact.face)
        self._owners: dict[SlotKey, SubjectKey] = {}
        for store_name, faces in wanted.items():
            self._load_faces_of(store_name, sorted(faces))
        return {owner[0] for owner in self._owners.values()}

    def _load_faces_of(self, store_name: str, faces: Sequence[bytes]) -> None:
        number = self._names.store_ids[store_name]
        store = self._names.store_by_id[number]
        columns = "face, processor_id, subject, version, at, read_at"
        rows = bulk.select_by_key(
            self._connection, columns, schema.faces, ("store_id", number), "face", faces
        )
        for face, processor_id, subject, packed, at, read_at in rows:
            key = (store_name, bytes(face), b"", None)
            if processor_id is not None:
                owner = (self._names.processor_by_id[processor_id], bytes(subject))
                self._owners[key] = owner
                continue
            version = unpack_version(packed)
            self.ledger.slots[key] = Removed(store, key[1], None, None, version, at, read_at)

    def load_subjects(self, facts: Iterable[StorageFact]) -> None:
        """Read the rows of everybody that *facts* can touch, and those they are linked with.

        Call it with the processors locked, after ``load_faces``.
        """
        wanted = set(self._owners.values())
        joined: set[SubjectKey] = set()
        for fact in facts:
            if isinstance(fact, (SubjectRemoved, Linked)):
                wanted.add((fact.processor, fact.subject))
                if isinstance(fact, Linked) and fact.individual is not None:
                    joined.add((fact.processor, fact.individual))
            elif isinstance(fact, (Enrolled, Removed)) and fact.place and fact.subject:
                wanted.add((fact.place.processor, fact.subject))
        self.load_scopes()
        self._load(wanted)
        self._load_members(wanted | joined, joining=bool(joined))

    def load_scopes(self) -> None:
        """Read the scope removals of galleries, systems and stores."""
        for kind, number, version in self._connection.execute(select(schema.removals)):
            if kind == _STORE:
                name = self._names.store_by_id[number].name
                self.ledger.store_scopes[name] = unpack_version(version)
                continue
            system, gallery = self._names.scope_by_id[number]
            assert system is not None  # noqa: S101 - a place scope has a system
            scope = (self._names.scope_owner[number], system, gallery)
            self.ledger.place_scopes[scope] = unpack_version(version)

    def _load_members(self, subjects: set[SubjectKey], *, joining: bool) -> None:
        """Read who else is the same individual; most processors link nobody, and pay nothing."""
        ours = schema.links.c.processor_id == schema.processors.c.id
        # One probe for each processor: a DISTINCT would read the links of everybody.
        linking = select(schema.processors.c.name).where(exists().where(ours))
        processors = set(self._connection.scalars(linking))
        if joining:
            processors |= {processor for processor, _ in subjects}
        individuals = {
            (key[0], person)
            for key in subjects
            if key[0] in processors
            for person in (key[1], self.ledger.individual(key))
        }
        members: set[SubjectKey] = set(individuals)
        for processor, wanted in _by_processor(individuals).items():
            number = self._names.processor_ids[processor]
            rows = bulk.select_by_key(
                self._connection,
                "individual, subject",
                schema.links,
                ("processor_id", number),
                "individual",
                wanted,
            )
            members.update((processor, bytes(subject)) for _, subject in rows)
        self._load(members - self.loaded)

    def _load(self, wanted: set[SubjectKey]) -> None:
        for processor, subjects in _by_processor(wanted).items():
            number = self._names.processor_ids.get(processor)
            if number is None:
                continue
            rows = bulk.select_by_key(
                self._connection,
                "subject, registers",
                schema.subjects,
                ("processor_id", number),
                "subject",
                subjects,
            )
            for subject, registers in rows:
                load_row(self.ledger, self._names, processor, bytes(subject), bytes(registers))
                self._known.add((processor, bytes(subject)))
        self.loaded |= wanted

    # -- writing ---------------------------------------------------------------------------

    def save(self, touched: Iterable[SubjectKey], slots: Iterable[SlotKey]) -> None:
        """Write the rows of the subjects and named slots that the facts touched."""
        names = self._names
        rows = []
        for processor, subjects in _by_processor(set(touched)).items():
            number = names.processor_ids[processor]
            for subject in subjects:
                key = (processor, subject)
                packed = pack(names, processor, registers_of(self.ledger, key))
                if packed or key in self._known:
                    rows.append((number, subject, packed))
        bulk.upsert(self._connection, schema.subjects, rows)
        bulk.upsert(self._connection, schema.faces, [self._face(key) for key in sorted(set(slots))])

    def _face(self, key: SlotKey) -> tuple[object, ...]:
        fact = self.ledger.slots[key]
        owner: tuple[int | None, bytes | None] = (None, None)
        if isinstance(fact, Enrolled):
            owner = (self._names.processor_ids[fact.place.processor], fact.subject)
        store_id = self._names.store_ids[key[0]]
        return (store_id, key[1], *owner, pack_version(fact.version), fact.at, fact.read_at)

    def save_scopes(self, facts: Iterable[StorageFact]) -> None:
        """Write the scope removals of galleries, systems and stores among *facts*."""
        names = self._names
        rows: dict[tuple[int, int], bytes] = {}
        for fact in facts:
            if isinstance(fact, Purged):
                scope = (fact.processor, fact.system, fact.gallery)
                version = self.ledger.place_scopes[scope]
                rows[_PLACE, names.scope_ids[scope]] = pack_version(version)
            elif isinstance(fact, Truncated):
                version = self.ledger.store_scopes[fact.store.name]
                rows[_STORE, names.store_ids[fact.store.name]] = pack_version(version)
        values = [(*key, version) for key, version in sorted(rows.items())]
        bulk.upsert(self._connection, schema.removals, values)

    def save_links(self, before: dict[SubjectKey, SubjectHash | None]) -> None:
        """Write who is whom now, where it is not what it was *before*."""
        for (processor, subject), was in before.items():
            link = self.ledger.links[processor, subject]
            if link.individual == was:
                continue
            number = self._names.processor_ids[processor]
            columns = schema.links.c
            if was is not None:
                self._connection.execute(
                    delete(schema.links).where(
                        columns.processor_id == number,
                        columns.individual == was,
                        columns.subject == subject,
                    )
                )
            if link.individual is not None:
                bulk.upsert(self._connection, schema.links, [(number, link.individual, subject)])


def load_row(
    ledger: Ledger, names: Names, processor: str, subject: SubjectHash, data: bytes
) -> None:
    """Put the registers of one packed row into *ledger*, to be settled."""
    key = (processor, subject)
    every, slots = ledger.slots, ledger.owned.get(key)
    for register in unpack(names, processor, subject, data):
        if isinstance(register, (Enrolled, Removed)):
            slot = slot_of(register)
            if slots is None:
                slots = ledger.owned[key] = {}
            slots[slot] = every[slot] = register
        elif isinstance(register, Scoped):
            scopes = ledger.subject_scopes.setdefault(key, {})
            scopes[register.system, register.gallery] = register.version
        else:
            ledger.links[key] = register
            ledger.join(register)
    ledger.touch(key)


def registers_of(ledger: Ledger, key: SubjectKey) -> list[Register]:
    """Return all registers of one subject."""
    found: list[Register] = []
    link = ledger.links.get(key)
    if link is not None:
        found.append(link)
    scopes = ledger.subject_scopes.get(key)
    if scopes:
        found += [Scoped(*scope, version) for scope, version in scopes.items()]
    slots = ledger.owned.get(key)
    if slots:
        found += slots.values()
    return found


def _by_processor(keys: Iterable[SubjectKey]) -> dict[str, list[SubjectHash]]:
    """Return the subjects of each processor, both in ascending order."""
    grouped: dict[str, list[SubjectHash]] = defaultdict(list)
    for processor, subject in keys:
        grouped[processor].append(subject)
    return {processor: sorted(grouped[processor]) for processor in sorted(grouped)}


__all__ = ["Working", "load_row", "registers_of"]
