"""One transaction for a batch: facts, stock, reaches, event duties, rejects and positions.

The order is the order of the locks (``locks.py``): positions, stores, processors, then rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from monitor.agreeing import Agreed, agreed
from monitor.approach import Levels
from monitor.changes import FAR
from monitor.duties import event_key, owed
from monitor.facts import (
    Changed,
    Enrolled,
    Fact,
    Filed,
    Instant,
    Linked,
    Purged,
    Removed,
    StorageFact,
    Store,
    SubjectHash,
    SubjectRemoved,
    Terminated,
    Told,
    Truncated,
)
from monitor.folding import Folded, fold, look, near
from monitor.intake import Batch
from monitor.ledger import Stock, SubjectKey
from monitor.limits import RejectLimit
from monitor.marks import Marks
from monitor.rules import CHANGED, Rule, event_rules, stock_rules
from monitor.store import (
    agreement,
    book,
    bulk,
    changes,
    latching,
    owing,
    positions,
    schema,
    stock,
    terminating,
)
from monitor.store.engine import is_sqlite
from monitor.store.filings import bring_about
from monitor.store.locks import lock_processors, lock_stores
from monitor.store.names import Names, Registry, Scope, ScopeKind, UnknownNumber
from monitor.store.registers import Working
from monitor.store.reopening import Before
from monitor.store.snapshots import note_signs
from monitor.store.stepping import keep_step, told_step
from monitor.store.terminating_watch import REMIND_AFTER, enrolled_since
from monitor.store.watches import Watches
from monitor.trust import Sources
from monitor.workdays import Calendar, beijing_day

_TOLD = (Terminated, Changed, Filed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the settings say that the keeping of facts depends on.

    *topics* has what is said of each configured topic, to be compared with that of other
    processes; *agreed* is all that they must have the same.
    """

    rules: Sequence[Rule]
    calendar: Calendar
    marks: Marks
    limit: RejectLimit
    sources: Sources = field(default_factory=Sources)
    remind_after: int = REMIND_AFTER  # working days between two reminders of faces that remain
    far: float = FAR  # share of the filed number from which on it may be a material change
    levels: Levels = field(default_factory=Levels)
    topics: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    agreed: Agreed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        others = {
            "early_warnings": {"percent": list(self.levels.percent), "rearm": self.levels.rearm},
            "remind_working_days": self.remind_after,
            "far_percent": round(100 * self.far),
        }
        object.__setattr__(self, "agreed", agreed(self.rules, self.marks, self.topics, others))


def learn_names(registry: Registry, batches: Iterable[Batch]) -> None:
    """Give numbers to all names in *batches*, before the transaction that uses them."""
    scopes: set[Scope] = set()
    stores: dict[str, Store] = {}
    tenants: set[tuple[str, str]] = set()
    for batch in batches:
        for fact in batch.facts:
            if isinstance(fact, (Enrolled, Removed)):
                stores[fact.store.name] = fact.store
                if fact.place is not None:
                    scopes.add((fact.place.processor, fact.place.system, fact.place.gallery))
                    tenants.add((fact.store.name, fact.place.processor))
            elif isinstance(fact, (SubjectRemoved, Purged)):
                scopes.add((fact.processor, fact.system, fact.gallery))
            elif isinstance(fact, Truncated):
                stores[fact.store.name] = fact.store
            else:
                scopes.add((fact.processor, None, None))
    registry.learn(scopes, stores.values(), tenants)


class MarksChanged(RuntimeError):
    """Numbers in the database were counted with other marks than ours; nothing was kept."""


class Keeping:
    """The keeping of some batches within one transaction."""

    def __init__(self, connection: Connection, names: Names, policy: Policy) -> None:
        self._connection, self._names, self._policy = connection, names, policy
        self._marks = policy.marks

    def keep(self, batches: Sequence[Batch]) -> None:
        """Write everything that *batches* say, or raise and leave the rollback to the caller."""
        for batch in sorted(batches, key=_where):
            positions.advance(self._connection, batch, self._policy.limit)
        facts = [fact for batch in batches for fact in batch.facts]
        known_at = max(batch.read_at for batch in batches)
        storage = [f for f in facts if not isinstance(f, _TOLD)]
        processors = self._lock(facts)
        self._count_fed(batches)
        if storage:
            self._store(storage, processors, known_at)
        if len(storage) < len(facts):
            self._hear([f for batch in batches for f in _told(batch)], known_at)
        self._set_aside(batches)

    # -- locks -----------------------------------------------------------------------------

    def _lock(self, facts: Sequence[Fact]) -> set[str]:
        """Lock what *facts* touch and read the owners of named slots; return the processors."""
        names = self._names
        wide = {f.store.name for f in facts if isinstance(f, Truncated)}
        wide |= {f.store.name for f in facts if isinstance(f, (Enrolled, Removed)) and f.face}
        lock_stores(self._connection, (names.store_ids[name] for name in wide))
        self._check_tenants(wide)
        self._working = Working(self._connection, names, self._marks)
        storage = [f for f in facts if not isinstance(f, _TOLD)]
        processors = self._working.load_faces(storage)
        self._tenants = _by_store(names)
        for fact in facts:
            if isinstance(fact, (Enrolled, Removed)):
                if fact.place is not None:
                    processors.add(fact.place.processor)
            elif not isinstance(fact, Truncated):
                processors.add(fact.processor)
        for name in wide:
            processors.update(self._tenants.get(name, ()))
        lock_processors(self._connection, (names.processor_ids[name] for name in processors))
        agreement.check(self._connection, self._policy.agreed)
        self._check_marks(processors)
        return processors

    def _check_marks(self, processors: set[str]) -> None:
        """Raise MarksChanged if these were counted with other marks: of an older database, say.

        Two that mark different places as research would each count their own number.
        """
        if is_sqlite(self._connection):
            return
        names, table = self._names, schema.places
        ids = [names.processor_ids[name] for name in processors]
        of_these = (table.c.processor_id.in_(ids), table.c.scope == ScopeKind.GALLERY)
        query = select(table.c.id).where(*of_these, table.c.research)
        marked = {names.place_by_id[number] for number in self._connection.scalars(query)}
        ours = {
            place
            for place in names.place_ids
            if place.processor in processors and self._marks.research(place)
        }
        if marked != ours:
            raise MarksChanged("the database was counted with other research marks: restart")

    def _check_tenants(self, wide: Iterable[str]) -> None:
        """Raise UnknownNumber if another worker has brought new tenants into a locked store."""
        names, table = self._names, schema.tenants
        ids = [names.store_ids[name] for name in wide]
        query = select(table).where(table.c.store_id.in_(ids))
        for store_id, processor_id in self._connection.execute(query):
            tenant = (names.store_by_id[store_id].name, names.processor_by_id[processor_id])
            if tenant not in names.tenants:
                raise UnknownNumber(processor_id)

    # -- the ledger ------------------------------------------------------------------------

    def _store(self, facts: Sequence[StorageFact], processors: set[str], known_at: Instant) -> None:
        rules = stock_rules(self._policy.rules)
        watches = Watches(self._connection, self._names, rules, sorted(processors))
        folded, before = self._fold(facts, watches)
        self._save(folded, known_at)
        for processor, movement in folded.movements.items():
            number = before[processor].individuals if processor in before else 0
            looked = look(
                watches.watch[processor],
                movement,
                number,
                watches.unreached(processor),
                watches.reached_at(processor),
                watches.armed(processor),
            )
            watches.note(processor, looked, movement, known_at)
        watches.save()
        # Last: it may write an audit entry, whose lock comes after that of the moment.
        enrolled_since(self._connection, self._names, self._marks, folded.fresh, known_at)

    def _fold(
        self, facts: Sequence[StorageFact], watches: Watches
    ) -> tuple[Folded, Mapping[str, Stock]]:
        working = self._working
        working.load_subjects(facts)
        ledger = working.ledger
        ledger.settle()
        base = {name: _copied(one) for name, one in ledger.stock.items()}
        links: dict[SubjectKey, SubjectHash | None] = {}
        for fact in facts:
            if isinstance(fact, Linked):
                key = (fact.processor, fact.subject)
                known = ledger.links.get(key)
                links[key] = known.individual if known else None
        kept = stock.read(self._connection, self._names)
        folded = fold(
            ledger,
            facts,
            tenants=self._tenants,
            last_at={name: watch.last_at for name, watch in watches.watch.items()},
            instant_by_instant=self._can_follow(facts) and self._is_near(facts, watches, kept),
        )
        self._links_before, self._base = links, base
        return folded, kept

    @staticmethod
    def _can_follow(facts: Sequence[StorageFact]) -> bool:
        """Tell whether the working ledger follows the number: a purge removes whom it lacks."""
        return not any(isinstance(fact, (Purged, Truncated)) for fact in facts)

    def _is_near(
        self, facts: Sequence[StorageFact], watches: Watches, kept: Mapping[str, Stock]
    ) -> bool:
        raising: Counter[str] = Counter(
            fact.place.processor if isinstance(fact, Enrolled) else fact.processor
            for fact in facts
            if isinstance(fact, (Enrolled, Linked))
        )
        return any(
            near(
                kept[name].individuals if name in kept else 0,
                watches.watch[name].peak,
                count,
                watches.unreached(name),
                [at_least for at_least, _ in watches.armed(name)],
            )
            for name, count in raising.items()
        )

    def _save(self, folded: Folded, known_at: Instant) -> None:
        working = self._working
        working.save(folded.subjects, folded.slots)
        working.save_links(self._links_before)
        book.append(self._connection, self._names, folded.fresh, known_at)
        stock.shift(self._connection, self._names, self._base, working.ledger.stock)
        if not folded.scopes:
            return
        working.save_scopes(folded.scopes)
        for processor in sorted(self._purged(folded.scopes)):
            counted = stock.count(
                self._connection, self._names, self._marks, working.ledger, processor
            )
            stock.replace(self._connection, self._names, processor, counted)

    def _purged(self, scopes: Iterable[StorageFact]) -> set[str]:
        processors: set[str] = set()
        for fact in scopes:
            if isinstance(fact, Truncated):
                processors.update(self._tenants.get(fact.store.name, ()))
            elif isinstance(fact, Purged):
                processors.add(fact.processor)
        return processors

    # -- what else a batch says ------------------------------------------------------------

    def _hear(self, told: Sequence[tuple[str, Told]], known_at: Instant) -> None:
        """Keep what was told about duties, each with its topic, and do what it means for them."""
        processors = sorted({fact.processor for _, fact in told})
        before = [Before(self._connection, self._names, one) for one in processors]
        for topic, fact in told:
            if isinstance(fact, Terminated):
                terminating.keep(self._connection, self._names, fact, known_at)
            elif isinstance(fact, Filed):
                self._file(fact, topic, known_at)
            else:
                self._open_changes(fact, known_at)
        for one in before:
            bring_about(self._connection, self._names, self._policy, one, known_at)

    def _file(self, fact: Filed, topic: str, known_at: Instant) -> None:
        now = changes.picture(self._connection, self._names, fact.processor)
        step = told_step(fact, topic, known_at, changes.in_detail(now))
        keep_step(self._connection, self._names, fact.processor, step)

    def _open_changes(self, fact: Changed, known_at: Instant) -> None:
        policy = self._policy
        proof = terminating.proof_of(
            self._connection, self._names, policy, fact.processor, fact.at, known_at
        )
        proof |= {"event": CHANGED, "version": list(fact.version), "changed": list(fact.what)}
        for rule in event_rules(policy.rules, CHANGED):
            if rule.since is not None and beijing_day(fact.at) < rule.since:
                continue
            key = event_key(fact.version, fact.what)
            if rule.latched:
                key = latching.key_of(self._connection, self._names, policy.rules, rule, fact)
            duty = owed(
                rule,
                processor=fact.processor,
                key=key,
                trigger_at=fact.at,
                known_at=known_at,
                calendar=policy.calendar,
                proof=proof,
            )
            owing.open_duty(self._connection, self._names, duty)

    def _count_fed(self, batches: Sequence[Batch]) -> None:
        """Remember which topic feeds whom, and what was said of snapshots."""
        names = self._names
        rows: set[tuple[str, int]] = set()
        for batch in batches:
            for processor in self._fed(batch.facts):
                rows.add((batch.topic, names.processor_ids[processor]))
        bulk.upsert(self._connection, schema.feeds, sorted(rows))
        note_signs(self._connection, batches)

    def _fed(self, facts: Iterable[Fact]) -> set[str]:
        """Return whose numbers these facts bear on: all tenants of a store that several share."""
        fed, stores = set[str](), set[str]()
        for fact in facts:
            if isinstance(fact, (Enrolled, Removed, Truncated)):
                stores.add(fact.store.name)
            else:
                fed.add(fact.processor)
        for store in stores:
            fed.update(self._tenants.get(store, ()))
        return fed

    def _set_aside(self, batches: Sequence[Batch]) -> None:
        rejects = {
            (*reject.where, batch.file): (
                *reject.where,
                batch.file,
                batch.move.topic_id if batch.move else None,
                batch.source,
                reject.reason.value,
                batch.read_at,
            )
            for batch in batches
            for reject in batch.rejects
        }
        bulk.upsert(self._connection, schema.rejects, [row for _, row in sorted(rejects.items())])
        ignored: Counter[str] = Counter()
        for batch in batches:
            ignored.update({reason.value: n for reason, n in batch.ignored.items()})
        for reason, records in sorted(ignored.items()):
            bulk.count(self._connection, schema.ignored, (reason,), records)


def _told(batch: Batch) -> Iterator[tuple[str, Told]]:
    return ((batch.topic, fact) for fact in batch.facts if isinstance(fact, _TOLD))


def _where(batch: Batch) -> tuple[str, int]:
    return (batch.move.topic, batch.move.partition) if batch.move else ("", 0)


def _by_store(names: Names) -> Mapping[str, Sequence[str]]:
    tenants: dict[str, list[str]] = defaultdict(list)
    for store, processor in sorted(names.tenants):
        tenants[store].append(processor)
    return tenants


def _copied(one: Stock) -> Stock:
    copy = Stock()
    copy.individuals, copy.research, copy.systems = one.individuals, one.research, dict(one.systems)
    return copy
