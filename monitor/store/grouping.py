"""The numbers of groups of processors (``monitor/groups.py``), read from the registers.

An exact number is counted from the rows of all members, merged by hash: a pass over them in flat
memory, each time it is asked for. A sum costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, select

from monitor.groups import Group, GroupNumber, distinct, shared_by, summed
from monitor.ledger import Ledger, Stock
from monitor.marks import Marks
from monitor.store import schema, stock
from monitor.store.names import Names
from monitor.store.registers import Working

_PROCESSOR = 2  # the scope of a row of ``places`` that is about no system
_PRIVATE = "the members' systems do not share one namespace"
_LINKED = "a member links people in a namespace of its own"
_THEN = "a number as of an instant is not counted by person"


def numbers(
    connection: Connection,
    marks: Marks,
    groups: Sequence[Group],
    stocks: Mapping[str, Stock],
    *,
    now: bool = True,
) -> list[GroupNumber]:
    """Return the number of each of *groups*; *stocks* are the members' own, of the same moment.

    If the moment is not *now* the registers do not tell who was stored, and all are sums.
    """
    if not groups:
        return []
    names = Names.load(connection)
    working = Working(connection, names, marks)
    working.load_scopes()
    return [
        _number(connection, names, marks, working.ledger, one, stocks)
        if now
        else summed(one, stocks, _THEN)
        for one in groups
    ]


def _number(
    connection: Connection,
    names: Names,
    marks: Marks,
    scopes: Ledger,
    group: Group,
    stocks: Mapping[str, Stock],
) -> GroupNumber:
    known = [member for member in group.members if member in names.processor_ids]
    ids = [names.processor_ids[member] for member in known]
    namespace = shared_by(_namespaces(connection, ids))
    if namespace is None:
        return summed(group, stocks, _PRIVATE)
    if _linked(connection, ids):
        return summed(group, stocks, _LINKED)
    people = [stock.stored(connection, names, marks, scopes, member) for member in known]
    operation, research = distinct(people)
    return GroupNumber(group=group, individuals=operation, research=research, namespace=namespace)


def _namespaces(connection: Connection, processors: Iterable[int]) -> Iterator[str]:
    places = schema.places.c
    query = select(places.namespace).where(
        places.processor_id.in_(list(processors)), places.scope != _PROCESSOR
    )
    yield from connection.scalars(query.distinct())


def _linked(connection: Connection, processors: Iterable[int]) -> bool:
    links = schema.links.c
    query = select(links.subject).where(links.processor_id.in_(list(processors))).limit(1)
    return connection.scalar(query) is not None
