"""Small numbers for names that many rows repeat: processors, places, scopes, stores.

Rows of these tables are never changed but for the research mark, so a worker keeps all of them in
memory. New names get their numbers in a transaction of their own, before the batch that needs
them: a number that no row uses does no harm, and a batch that fails leaves nothing half known.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, func, insert, select, true
from sqlalchemy.exc import IntegrityError

from monitor.agreeing import Agreed
from monitor.facts import Order, Place, Store
from monitor.marks import Marks
from monitor.store import agreement, bulk, schema
from monitor.store.engine import reading
from monitor.store.locks import lock_processors, lock_stores

_T = TypeVar("_T")

Scope: TypeAlias = tuple[str, str | None, str | None]
"""Processor, system, gallery; None for all of them."""


class ScopeKind(IntEnum):
    """How much of a processor a row of ``places`` means."""

    GALLERY = 0
    SYSTEM = 1
    PROCESSOR = 2


class UnknownNumber(LookupError):
    """A row uses a number that another worker gave out after we read the names: reload."""


class _Numbered(dict[int, _T]):
    def __missing__(self, number: int) -> _T:
        raise UnknownNumber(number)


class NamespaceChanged(RuntimeError):
    """The settings give a system another namespace than its subjects were hashed in."""


class Names:
    """The numbers of all names known to the database, and the names of the numbers."""

    def __init__(self) -> None:
        self.processor_ids: dict[str, int] = {}
        self.processor_by_id: dict[int, str] = _Numbered()
        self.place_ids: dict[Place, int] = {}
        self.place_by_id: dict[int, Place] = _Numbered()
        self.scope_ids: dict[Scope, int] = {}
        self.scope_by_id: dict[int, tuple[str | None, str | None]] = _Numbered()
        self.scope_owner: dict[int, str] = {}
        self.store_ids: dict[str, int] = {}
        self.store_by_id: dict[int, Store] = _Numbered()
        self.tenants: set[tuple[str, str]] = set()  # store name, processor
        self.research: dict[int, bool] = {}  # by place, as the stock was counted
        self.namespaces: dict[int, str] = {}

    @classmethod
    def load(cls, connection: Connection) -> Names:
        """Read all names, of one state: a place whose processor came later would be nobody's."""
        names = cls()
        for row in connection.execute(select(schema.processors)):
            names._processor(row.id, row.name)
        for row in connection.execute(select(schema.places)):
            names._place(row)
        for row in connection.execute(select(schema.stores)):
            names.store_ids[row.name] = row.id
            names.store_by_id[row.id] = Store(row.name, Order(row.ordering))
        for store_id, processor_id in connection.execute(select(schema.tenants)):
            pair = (names.store_by_id[store_id].name, names.processor_by_id[processor_id])
            names.tenants.add(pair)
        return names

    @classmethod
    def of_processors(cls, connection: Connection, wanted: Iterable[str] | None) -> Names:
        """Read the numbers of *wanted* processors, or of all, and no other name.

        For who asks about a duty at each page: the places of an installation may be many thousand.
        """
        names, table = cls(), schema.processors
        named = true() if wanted is None else table.c.name.in_(list(wanted))
        for row in connection.execute(select(table).where(named)):
            names._processor(row.id, row.name)
        return names

    def _processor(self, number: int, name: str) -> None:
        self.processor_ids[name] = number
        self.processor_by_id[number] = name

    def _place(self, row: object) -> None:
        number: int = row.id  # type: ignore[attr-defined]  # a row of schema.places
        processor = self.processor_by_id[row.processor_id]  # type: ignore[attr-defined]  # as above
        system: str | None = row.system  # type: ignore[attr-defined]  # as above
        gallery: str | None = row.gallery  # type: ignore[attr-defined]  # as above
        kind = ScopeKind(row.scope)  # type: ignore[attr-defined]  # as above
        if kind is ScopeKind.PROCESSOR:
            system = gallery = None
        elif kind is ScopeKind.SYSTEM:
            gallery = None
        self.scope_ids[processor, system, gallery] = number
        self.scope_by_id[number] = (system, gallery)
        self.scope_owner[number] = processor
        self.research[number] = row.research  # type: ignore[attr-defined]  # as above
        self.namespaces[number] = row.namespace  # type: ignore[attr-defined]  # as above
        if system is not None and gallery is not None:
            place = Place(processor, system, gallery)
            self.place_ids[place] = number
            self.place_by_id[number] = place


class Registry:
    """Gives numbers to names, with the marks that the settings put on new places.

    With *ours*, only while these settings hold: ``learn`` raises SettingsReplaced.
    """

    def __init__(self, engine: Engine, marks: Marks, ours: Agreed | None = None) -> None:
        self._engine = engine
        self._marks, self._ours = marks, ours
        with reading(engine) as connection:
            self.names = Names.load(connection)
        self._check_namespaces()

    def reload(self) -> None:
        """Read all names again: another worker may have added some."""
        with reading(self._engine) as connection:
            self.names = Names.load(connection)

    def learn(
        self, scopes: Iterable[Scope], stores: Iterable[Store], tenants: Iterable[tuple[str, str]]
    ) -> None:
        """Make sure that each of these has a number."""
        missing = self._missing(scopes, stores, tenants)
        while missing:
            try:
                with self._engine.begin() as connection:
                    if self._ours is not None:
                        agreement.hold(connection, self._ours)
                    missing.write(connection, self.names, self._marks)
            except IntegrityError:
                pass  # another worker came first: its numbers are read below
            self.reload()
            missing = self._missing(missing.scopes, missing.stores, missing.tenants)

    def _missing(
        self, scopes: Iterable[Scope], stores: Iterable[Store], tenants: Iterable[tuple[str, str]]
    ) -> _Missing:
        names = self.names
        return _Missing(
            sorted({s for s in scopes if s not in names.scope_ids}, key=_nulls_first),
            sorted({s for s in stores if s.name not in names.store_ids}, key=lambda s: s.name),
            sorted({t for t in tenants if t not in names.tenants}),
        )

    def _check_namespaces(self) -> None:
        for number, known in self.names.namespaces.items():
            system, _ = self.names.scope_by_id[number]
            processor = self.names.scope_owner[number]
            wanted = self._marks.namespace(processor, system)
            if wanted != known:
                raise NamespaceChanged(
                    f"system {system!r} of processor {processor!r} was counted in namespace "
                    f"{known!r}, the settings now say {wanted!r}: hashes of its subjects cannot "
                    "be turned into those of another namespace; give it back its namespace, or "
                    "read its topics again into a new database"
                )


class _Missing:
    def __init__(
        self, scopes: list[Scope], stores: list[Store], tenants: list[tuple[str, str]]
    ) -> None:
        self.scopes, self.stores, self.tenants = scopes, stores, tenants

    def __bool__(self) -> bool:
        return bool(self.scopes or self.stores or self.tenants)

    def write(self, connection: Connection, names: Names, marks: Marks) -> None:
        """Insert in one fixed order, so that two workers cannot wait for each other."""
        self._greet(connection, names)
        ids = dict(names.processor_ids)
        for name in sorted({scope[0] for scope in self.scopes} - set(ids)):
            row = insert(schema.processors).values(name=name).returning(schema.processors.c.id)
            ids[name] = connection.execute(row).scalar_one()
        for processor, system, gallery in self.scopes:
            kind = (system is None) + (gallery is None)
            connection.execute(
                insert(schema.places).values(
                    processor_id=ids[processor],
                    scope=kind,
                    system=system or "",
                    gallery=gallery or "",
                    research=marks.research(Place(processor, system or "", gallery or "")),
                    namespace=marks.namespace(processor, system),
                )
            )
        store_ids = dict(names.store_ids)
        for store in self.stores:
            made = insert(schema.stores).values(name=store.name, ordering=int(store.order))
            key = connection.execute(made.returning(schema.stores.c.id)).scalar_one()
            store_ids[store.name] = key
        for store_name, processor in self.tenants:
            pair = (store_ids[store_name], ids[processor])
            connection.execute(insert(schema.tenants).values(pair))
            if store_name in names.store_ids:
                _date(connection, *pair)

    def _greet(self, connection: Connection, names: Names) -> None:
        """Wait for the stores that get a new tenant, in the order in which batches lock.

        A truncation looks for tenants once it has locked its store. One that comes later then
        begins after it, and is counted under it.
        """
        joined = [pair for pair in self.tenants if pair[0] in names.store_ids]
        lock_stores(connection, (names.store_ids[store] for store, _ in joined))
        known = {name for _, name in joined} & names.processor_ids.keys()
        lock_processors(connection, (names.processor_ids[name] for name in known))


def _date(connection: Connection, store_id: int, processor_id: int) -> None:
    """Let a new tenant's newest instant be no older than what is known of its store.

    A fact that is older than those is late for it: the number it raised may be in the past.
    """
    tenants, watches, book = schema.tenants.c, schema.watches.c, schema.book.c
    others = select(tenants.processor_id).where(
        tenants.store_id == store_id, tenants.processor_id != processor_id
    )
    latest = select(func.max(watches.last_at)).where(watches.processor_id.in_(others))
    newest: int | None = connection.scalar(latest)
    if newest is None:  # nobody had a slot: only removals can be there
        newest = connection.scalar(select(func.max(book.at)).where(book.store_id == store_id))
    own = select(schema.watches).where(watches.processor_id == processor_id)
    held = connection.execute(own).first()
    if newest is None or (held is not None and held.last_at >= newest):
        return
    rest = held[2:] if held is not None else (0, False, None, 0, None)
    bulk.upsert(connection, schema.watches, [(processor_id, newest, *rest)])


def _nulls_first(scope: Scope) -> tuple[str, tuple[bool, str], tuple[bool, str]]:
    """Order totally: were None and the empty text equal, two workers could insert crosswise."""
    processor, system, gallery = scope
    return (processor, (system is not None, system or ""), (gallery is not None, gallery or ""))
