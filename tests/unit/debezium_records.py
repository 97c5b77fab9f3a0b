"""Real Debezium records by name, ways to change one in one place, and a mapping for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from monitor.facts import Enrolled, Order, Removed, Store
from monitor.identity import Identity
from monitor.intake import Reason
from streams.adapters.debezium import Debezium
from streams.adapters.mapping import read_mapping
from streams.records import Record, Undecodable
from tests.conftest import REPOSITORY

IDENTITY = Identity("c4" * 32)
NOW = 1_800_000_000_000_000  # after all recordings


def _fixtures() -> dict[str, Record]:
    lines = (REPOSITORY / "tests" / "fixtures" / "debezium.ndjson").read_text().splitlines()
    return {each["name"]: _record(each) for each in map(json.loads, lines)}


def _record(each: dict[str, Any]) -> Record:
    key, value = (None if text is None else text.encode() for text in (each["key"], each["value"]))
    return Record(each["topic"], each["partition"], each["offset"], each["timestamp"], key, value)


RECORDS = _fixtures()


def owned(table: str, gallery: str, more: Mapping[str, object]) -> dict[str, object]:
    return {
        "table": f"public.{table}",
        "face": "face_id",
        "subject": "person_id",
        "processor": {"column": "tenant"},
        "system": {"column": "system"},
        "gallery": gallery,
        **more,
    }


def compreface(schema: str) -> dict[str, object]:
    table = {"table": f"{schema}.embedding", "face": "id", "subject": "subject_id"}
    return {**table, "processor": "compreface", "system": schema}


def adapter(epoch: object = 0, **more: object) -> Debezium:
    """Map the tables of all fixtures; *more* changes the keys of the first two."""
    tables = [
        owned("face_template", "", more),
        owned("face_template_office", "office", more),
        owned("face_template_gate", "gate", {}),
        compreface("public"),
        compreface("lab"),
    ]
    return Debezium(IDENTITY, read_mapping("src", {"epoch": epoch, "tables": tables}))


def changed(name: str, change: Callable[[Any], object]) -> Record:
    value = json.loads(RECORDS[name].value or b"")
    change(value)
    return RECORDS[name]._replace(value=json.dumps(value).encode())


def with_row(name: str, **columns: object) -> Record:
    return changed(name, lambda value: value["after"].update(columns))


def without(name: str, column: str) -> Record:
    return changed(name, lambda value: value["after"].pop(column))


def with_source(name: str, **fields: object) -> Record:
    return changed(name, lambda value: value["source"].update(fields))


def enrolled(record: Record, **more: object) -> Enrolled:
    (fact,) = adapter(**more).decode(record, NOW).facts
    assert isinstance(fact, Enrolled)
    return fact


def removed(record: Record, **more: object) -> Removed:
    (fact,) = adapter(**more).decode(record, NOW).facts
    assert isinstance(fact, Removed)
    return fact


def reason(record: Record, **more: object) -> Reason:
    with pytest.raises(Undecodable) as caught:
        adapter(**more).decode(record, NOW)
    return caught.value.reason


def slot(table: str, face: str) -> tuple[Store, bytes]:
    store = Store(f"src/{table}", Order.LOG)
    return store, IDENTITY.face(store.name, face)
