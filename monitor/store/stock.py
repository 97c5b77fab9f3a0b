"""The number itself: shifted by each batch, or counted again from the registers after a purge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, delete, insert, select

from monitor.groups import Stored
from monitor.ledger import Ledger, Stock, SubjectKey
from monitor.marks import Marks
from monitor.store import bulk, schema
from monitor.store.names import Names
from monitor.store.registers import load_row

OPERATION, RESEARCH, SYSTEM = 0, 1, 2
_CHUNK = 20_000


def read(connection: Connection, names: Names) -> dict[str, Stock]:
    """Return the stock of every processor that ever had any."""
    stocks: dict[str, Stock] = defaultdict(Stock)
    for processor_id, kind, system, individuals in connection.execute(select(schema.stock)):
        stock = stocks[names.processor_by_id[processor_id]]
        if kind == OPERATION:
            stock.individuals = individuals
        elif kind == RESEARCH:
            stock.research = individuals
        else:
            stock.systems[system] = individuals
    return dict(stocks)


def shift(
    connection: Connection, names: Names, before: Mapping[str, Stock], after: Mapping[str, Stock]
) -> None:
    """Add to the numbers in the database what a working ledger's moved from *before* to *after*."""
    for processor in sorted(after):
        number = names.processor_ids[processor]
        was = flat(before.get(processor, Stock()))
        for key, individuals in flat(after[processor]).items():
            change = individuals - was.get(key, 0)
            bulk.count(connection, schema.stock, (number, *key), change)


def flat(stock: Stock) -> dict[tuple[int, str], int]:
    """Return the numbers of a stock as they are kept: by kind and system."""
    rows = {(SYSTEM, system): n for system, n in stock.systems.items()}
    return {(OPERATION, ""): stock.individuals, (RESEARCH, ""): stock.research, **rows}


def replace(connection: Connection, names: Names, processor: str, stock: Stock) -> None:
    """Set the numbers of *processor* to *stock*."""
    number = names.processor_ids[processor]
    table = schema.stock
    connection.execute(delete(table).where(table.c.processor_id == number))
    rows = [
        {"processor_id": number, "kind": kind, "system": system, "individuals": individuals}
        for (kind, system), individuals in flat(stock).items()
    ]
    connection.execute(insert(table), rows)


def count(
    connection: Connection,
    names: Names,
    marks: Marks,
    scopes: Ledger,
    processor: str,
    *,
    at_once: int = _CHUNK,
) -> Stock:
    """Count *processor* anew from its rows, under the scope removals that *scopes* holds.

    Everybody is read in chunks of *at_once*, those who are linked too, so memory does not grow
    with the number of individuals. The caller holds the processor's lock.
    """
    total = Stock()
    number = names.processor_ids[processor]
    for chunk in _rows(connection, number, at_once):
        joined = set(_individuals(connection, number, chunk[0][0], chunk[-1][0]))
        alone = {(processor, subject) for subject, _ in chunk if subject not in joined}
        total.add(_stock_of(alone, chunk, scopes, marks, names, processor))
    for individuals, wanted in _linked(connection, number, at_once):
        rows = _registers(connection, number, wanted)
        joint = {(processor, individual) for individual in individuals}
        total.add(_stock_of(joint, rows, scopes, marks, names, processor))
    return total


def stored(
    connection: Connection,
    names: Names,
    marks: Marks,
    scopes: Ledger,
    processor: str,
    *,
    at_once: int = _CHUNK,
) -> Iterator[Stored]:
    """Yield everybody whom *processor* stores, where it links nobody, in the order of hashes.

    Everybody is read in chunks of *at_once*, as ``count`` does.
    """
    for chunk in _rows(connection, names.processor_ids[processor], at_once):
        alone = {(processor, subject) for subject, _ in chunk}
        ledger = _ledger_of(alone, chunk, scopes, marks, names, processor)
        for subject, _ in chunk:
            standing = ledger.standing.get((processor, subject))
            if standing is not None:
                yield subject, standing.operation, standing.research


def _stock_of(
    individuals: set[SubjectKey],
    rows: Iterable[tuple[bytes, bytes]],
    scopes: Ledger,
    marks: Marks,
    names: Names,
    processor: str,
) -> Stock:
    """Count *individuals*, all of whose subjects have their rows in *rows*, and nobody else."""
    ledger = _ledger_of(individuals, rows, scopes, marks, names, processor)
    return ledger.stock.get(processor, Stock())


def _ledger_of(
    individuals: set[SubjectKey],
    rows: Iterable[tuple[bytes, bytes]],
    scopes: Ledger,
    marks: Marks,
    names: Names,
    processor: str,
) -> Ledger:
    ledger = Ledger(marks.research, individuals.__contains__)
    ledger.place_scopes = scopes.place_scopes
    ledger.store_scopes = scopes.store_scopes
    for subject, registers in rows:
        load_row(ledger, names, processor, subject, registers)
    for individual in individuals:
        ledger.touch(individual)  # now that every link is known
    ledger.settle()
    return ledger


def _rows(
    connection: Connection, processor_id: int, at_once: int
) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield the rows of all subjects, in their order."""
    table = schema.subjects.c
    query = select(table.subject, table.registers).where(table.processor_id == processor_id)
    query = query.order_by(table.subject).limit(at_once)
    after = b""
    while chunk := connection.execute(query.where(table.subject > after)).all():
        yield [(subject, registers) for subject, registers in chunk]
        after = chunk[-1][0]


def _individuals(
    connection: Connection, processor_id: int, first: bytes, last: bytes
) -> Iterable[bytes]:
    """Return those between *first* and *last* whom somebody is linked to."""
    table = schema.links.c
    between = (table.individual >= first, table.individual <= last)
    query = select(table.individual).where(table.processor_id == processor_id, *between)
    return connection.scalars(query.distinct())


def _linked(
    connection: Connection, processor_id: int, at_once: int
) -> Iterator[tuple[set[bytes], set[bytes]]]:
    """Yield individuals whom somebody is linked to, and with them all who may be them."""
    table = schema.links.c
    query = select(table.individual, table.subject).where(table.processor_id == processor_id)
    ours = select(table.individual).where(table.processor_id == processor_id).distinct()
    ours = ours.order_by(table.individual).limit(at_once)
    after = b""
    while chunk := list(connection.scalars(ours.where(table.individual > after))):
        between = (table.individual >= chunk[0], table.individual <= chunk[-1])
        pairs = connection.execute(query.where(*between))
        yield set(chunk), {one for pair in pairs for one in pair}
        after = chunk[-1]


def _registers(
    connection: Connection, processor_id: int, wanted: set[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    within = ("processor_id", processor_id)
    columns = "subject, registers"
    for subject, registers in bulk.select_by_key(
        connection, columns, schema.subjects, within, "subject", sorted(wanted)
    ):
        yield bytes(subject), bytes(registers)
