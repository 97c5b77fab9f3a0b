"""Bring the database in line with changed settings: research marks and thresholds.

A research mark holds for all of history (DESIGN section 3), so changing it recounts; who asked for
it and why goes into the audit log.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, Engine, update

from monitor.facts import Instant, Place
from monitor.rules import stock_rules
from monitor.store import agreement, audit, moments, owed, schema, stock
from monitor.store.keeping import Policy
from monitor.store.locks import lock_processors
from monitor.store.moments import Sight
from monitor.store.names import Names, Registry
from monitor.store.registers import Working
from monitor.store.watches import Watches


def apply_marks(engine: Engine, registry: Registry, policy: Policy, now: Instant) -> None:
    """Recount every processor for which the settings mark another place, or change a threshold.

    They are registered, and *registry* is read since then. Raises SettingsReplaced.
    """
    names = registry.names
    changed: dict[str, list[tuple[int, Place]]] = {}
    for number, place in names.place_by_id.items():
        if policy.marks.research(place) != names.research[number]:
            changed.setdefault(place.processor, []).append((number, place))
    for processor, places in sorted(changed.items()):
        with engine.begin() as connection:
            lock_processors(connection, [names.processor_ids[processor]])
            agreement.check(connection, policy.agreed)
            _mark(connection, policy, places, now)
            _recount(connection, names, policy, processor)
    _match_thresholds(engine, names, policy, now)
    if changed:
        registry.reload()


def _mark(
    connection: Connection, policy: Policy, places: list[tuple[int, Place]], now: Instant
) -> None:
    table = schema.places
    for number, place in places:
        research = policy.marks.research(place)
        differs = (table.c.id == number, table.c.research != research)
        if (
            connection.execute(update(table).where(*differs).values(research=research)).rowcount
            == 0
        ):
            continue  # another worker that starts with the same settings came first
        mark = policy.marks.why(place)
        body = {
            "system": place.system,
            "gallery": place.gallery,
            "purpose": "research" if research else "operation",
            "reason": mark.reason if mark else "",
            "by": mark.by if mark else "",
        }
        audit.append(connection, now, "purpose.changed", place.processor, body)


def _recount(connection: Connection, names: Names, policy: Policy, processor: str) -> None:
    working = Working(connection, names, policy.marks)
    working.load_scopes()
    counted = stock.count(connection, names, policy.marks, working.ledger, processor)
    stock.replace(connection, names, processor, counted)
    watches = Watches(connection, names, stock_rules(policy.rules), [processor])
    watches.watch[processor] = replace(watches.watch[processor], recount_due=True)
    watches.save()


def _match_thresholds(engine: Engine, names: Names, policy: Policy, now: Instant) -> None:
    """Have a reach for each rule; one that asks for a duty only now is confirmed once more."""
    if not names.processor_ids:
        return
    with engine.begin() as connection:
        lock_processors(connection, names.processor_ids.values())
        agreement.check(connection, policy.agreed)
        everyone = sorted(names.processor_ids)
        watches = Watches(connection, names, stock_rules(policy.rules), everyone)
        for processor, rule, _ in list(owed.unopened(connection, names, policy.rules)):
            if processor is not None and rule in watches.reaches[processor]:
                seen = Sight(now, moments.take(connection))
                again = replace(watches.reaches[processor][rule], confirmed_at=None, paged_at=None)
                watches.reaches[processor][rule] = again.anew(seen)
        watches.save()
