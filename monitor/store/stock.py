"""The number itself: shifted by each batch, or counted again from the registers after a purge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, delete, insert, select

from monitor.ledger import Ledger, Stock
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
    connection: Connection, names: Names, marks: Marks, scopes: Ledger, processor: str
) -> Stock:
    """Count *processor* anew from its rows, under the scope removals that *scopes* holds.

    Rows are read in chunks, so memory does not grow with the number of individuals; only those
    who are linked are kept until the end. The caller holds the processor's lock.
    """
    linked = _linked(connection, names, processor)
    total = Stock()
    late: list[tuple[bytes, bytes]] = []
    for chunk in _rows(connection, names.processor_ids[processor]):
        ledger = _under(scopes, marks)
        for subject, registers in chunk:
            if subject in linked:
                late.append((subject, registers))
            else:
                load_row(ledger, names, processor, subject, registers)
        _add_up(total, ledger, processor)
    ledger = _under(scopes, marks)
    for subject, registers in late:
        load_row(ledger, names, processor, subject, registers)
    for subject, _ in late:
        ledger.touch((processor, subject))  # now that every link is known
    _add_up(total, ledger, processor)
    return total


def _linked(connection: Connection, names: Names, processor: str) -> set[bytes]:
    table = schema.links
    number = names.processor_ids[processor]
    pairs = connection.execute(
        select(table.c.individual, table.c.subject).where(table.c.processor_id == number)
    )
    return {bytes(one) for pair in pairs for one in pair}


def _rows(connection: Connection, processor_id: int) -> Iterator[list[tuple[bytes, bytes]]]:
    table = schema.subjects
    query = select(table.c.subject, table.c.registers).where(table.c.processor_id == processor_id)
    result = connection.execute(query, execution_options={"yield_per": _CHUNK})
    for part in result.partitions(_CHUNK):
        yield [(bytes(subject), bytes(registers)) for subject, registers in part]


def _under(scopes: Ledger, marks: Marks) -> Ledger:
    ledger = Ledger(marks.research)
    ledger.place_scopes = scopes.place_scopes
    ledger.store_scopes = scopes.store_scopes
    return ledger


def _add_up(total: Stock, ledger: Ledger, processor: str) -> None:
    ledger.settle()
    stock = ledger.stock.get(processor)
    if stock is None:
        return
    total.individuals += stock.individuals
    total.research += stock.research
    for system, individuals in stock.systems.items():
        total.systems[system] = total.systems.get(system, 0) + individuals
