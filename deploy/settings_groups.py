"""The settings about groups of processors."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.reading import BadConfig, Table
from monitor.groups import Group


def read_groups(tables: Sequence[Table]) -> tuple[Group, ...]:
    """Return what the ``[[groups]]`` tables say. Raises BadConfig."""
    groups = tuple(_group(table) for table in tables)
    names = [one.name for one in groups]
    for table, name in zip(tables, names, strict=True):
        if names.count(name) > 1:
            raise BadConfig(f"{table.at}.name: {name!r} is there twice; keep one [[groups]] for it")
    return groups


def _group(table: Table) -> Group:
    name, members = table.required("name"), table.texts("members")
    filed_by = table.optional("filed_by")
    table.finish()
    try:
        return Group(name=name, members=tuple(members or ()), filed_by=filed_by)
    except ValueError as exc:
        raise BadConfig(f'{table.at}.members: {exc}, such as ["acme", "acme-retail"]') from None
