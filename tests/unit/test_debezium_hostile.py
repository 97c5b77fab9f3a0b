"""Hostile bytes: set aside with a reason, never another exception, never their text in it."""

from __future__ import annotations

import copy
import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.facts import Enrolled, Removed, Truncated
from monitor.intake import Reason
from streams.adapters.checks import MAX_VALUE_BYTES
from streams.records import Record, Undecodable
from tests.unit.debezium_records import (
    NOW,
    RECORDS,
    adapter,
    changed,
    reason,
    with_row,
    with_source,
)

CANARY = "Zhang-Wei-110101199003070000"

# Bytes that are no change record


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", Reason.NOT_JSON),
        (b"\xff", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b'{"op":NaN}', Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_AN_OBJECT),
        (b'{"before":' + b"[" * 100_000, Reason.NOT_JSON),
        (b"null", Reason.NOT_AN_OBJECT),
        (b" [1]", Reason.NOT_AN_OBJECT),
        (b"{}", Reason.NOT_DEBEZIUM),
        (b'{"op":"c"}', Reason.NOT_DEBEZIUM),
        (b'{"op":"c","source":{}}', Reason.NOT_DEBEZIUM),
        (b'{"op":1,"source":{}}', Reason.NOT_DEBEZIUM),
        (b'{"op":"x","source":{"table":"face_template"}}', Reason.UNKNOWN_TYPE),
        (b'{"specversion":"1.0","type":"a","source":"/b","id":"1"}', Reason.NOT_DEBEZIUM),
        (b" " * (MAX_VALUE_BYTES + 1), Reason.TOO_LARGE),
    ],
)
def test_other_bytes_are_set_aside(value: bytes, expected: Reason) -> None:
    assert reason(RECORDS["insert"]._replace(value=value)) is expected


@pytest.mark.parametrize("after", [None, [], "text", 1])
def test_a_change_without_a_row_is_set_aside(after: object) -> None:
    record = changed("insert", lambda value: value.update(after=after))

    assert reason(record) is Reason.NOT_DEBEZIUM


# Whatever the bytes


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\0", "\ud800", "", "last", "r", "t", "u", "m", "[1,2]", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


def places(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [path, *(found for key in value for found in places(value[key], (*path, key)))]


def replaced(value: Any, path: tuple[str, ...], new: object) -> Any:
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = replaced(value[path[0]], path[1:], new)
    return value


@given(st.sampled_from(sorted(RECORDS)), st.data())
def test_one_place_replaced_is_facts_ignored_or_undecodable_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    record = RECORDS[name]
    value = json.loads(record.value or b"null")
    path = data.draw(st.sampled_from(places(value)))
    wire = json.dumps(replaced(value, path, data.draw(ODD))).encode()

    check_it_can_be_kept(record._replace(value=wire))


@given(st.sampled_from(sorted(RECORDS)), st.data())
def test_bytes_cut_or_changed_are_facts_ignored_or_undecodable_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    record = RECORDS[name]
    part = data.draw(st.sampled_from(["key", "value"]))
    old: bytes = getattr(record, part) or b""
    start = data.draw(st.integers(0, len(old)))
    cut = data.draw(st.integers(0, 5))
    wire = old[:start] + data.draw(st.binary(max_size=5)) + old[start + cut :]

    check_it_can_be_kept(
        record._replace(value=wire) if part == "value" else record._replace(key=wire)
    )


def check_it_can_be_kept(record: Record) -> None:
    rule = {"column": "status", "in": ["active", "deleted"]}
    try:
        decoded = adapter(stored=rule, dated_by="created_at").decode(record, NOW)
    except Undecodable:
        return
    assert (decoded.ignored is None) == bool(decoded.facts)
    for fact in decoded.facts:
        assert isinstance(fact, Enrolled | Removed | Truncated)
        assert all(0 <= part < 2**64 for part in fact.version)
        assert 946_684_800_000_000 <= fact.at <= NOW
        assert isinstance(fact, Truncated) or len(fact.face) == 16
        if isinstance(fact, Enrolled):
            assert all(part.isprintable() for part in fact.place)
            assert fact.at <= fact.read_at


# No text of a record in an error


BROKEN: list[Record] = [
    RECORDS["insert"]._replace(value=CANARY.encode()),
    RECORDS["insert"]._replace(value=f'"{CANARY}"'.encode()),
    RECORDS["insert"]._replace(value=f'{{"op":"{CANARY}'.encode()),
    RECORDS["insert"]._replace(value=f'{{"{CANARY}":"'.encode() + b'\xff"}'),
    with_row("insert", person_id=f"{CANARY}\0"),
    with_row("insert", person_id=f"{CANARY}\ud800"),
    with_row("insert", person_id=[CANARY]),
    with_row("insert", face_id={CANARY: CANARY}),
    with_row("insert", person_id=CANARY * 100),
    with_row("insert", tenant=f"{CANARY}\n"),
    with_source("insert", sequence=CANARY),
    with_source("insert", lsn=CANARY, sequence=None),
    with_source("insert", ts_us=CANARY),
    with_source("insert", ts_ms=[CANARY]),
    with_source("insert", connector=CANARY),
    changed("insert", lambda value: value.update(op=CANARY)),
    changed("insert", lambda value: value.update(after=CANARY)),
    changed("delete", lambda value: value.update(before=CANARY))._replace(key=CANARY.encode()),
]


@pytest.mark.parametrize("record", BROKEN, ids=range(len(BROKEN)))
def test_no_text_of_a_record_is_in_the_error(record: Record) -> None:
    with pytest.raises(Undecodable) as caught:
        adapter().decode(record, NOW)

    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in shown
    assert CANARY not in repr(caught.value)


def test_no_id_of_a_record_is_in_what_is_decoded_from_it() -> None:
    row = with_row("office_insert", face_id=CANARY, person_id=CANARY, template=CANARY)

    assert CANARY not in repr(adapter().decode(row, NOW))
