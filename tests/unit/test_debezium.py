"""What the Debezium adapter makes of each kind of record: real ones, or changed in one place."""

from __future__ import annotations

import pytest

from monitor.facts import Enrolled, Order, Place, Store, Truncated, Version
from monitor.intake import Decoded, Ignored, LogPoint, Reason, SnapshotSign
from streams.records import Record
from tests.unit.debezium_records import (
    IDENTITY,
    NOW,
    RECORDS,
    adapter,
    changed,
    enrolled,
    reason,
    removed,
    slot,
    with_row,
    with_source,
    without,
)

CLOCKS = ("ts_us", "ts_ns")

# What the operations mean


def test_an_insert_stores_a_face_of_its_owner_at_the_commit_time() -> None:
    decoded = adapter().decode(RECORDS["insert"], NOW)

    store, face = slot("public.face_template", "f0099901")
    at, version = 1795323346857572, Version(0, 90560448, 90560504)
    subject = IDENTITY.subject("acme", "door", "P099901")
    assert decoded == Decoded(
        facts=(Enrolled(store, face, Place("acme", "door", ""), subject, version, at, at),),
        instant=at,
        sign=SnapshotSign("threshold", at, ends_table=True, ends_all=True),
        log=LogPoint(version, at),
    )


def test_a_snapshot_row_is_an_enrolment_that_notices_no_log_position() -> None:
    decoded = adapter().decode(RECORDS["snapshot_row"], NOW)

    assert isinstance(decoded.facts[0], Enrolled)
    assert decoded.log is None
    assert decoded.sign == SnapshotSign("threshold", 1795323330561749, row=True)


@pytest.mark.parametrize(
    ("name", "table", "face"),
    [
        ("delete", "public.face_template", "f0020007"),
        # Identity FULL: before names a person, who is still not read.
        ("gate_delete_full", "public.face_template_gate", "f0000554"),
        ("key_change_delete", "public.face_template_office", "f0003000"),
        ("face_delete", "public.embedding", "d4041791-0e6f-41c9-879b-e8e7efd59629"),
        ("schema_face_delete", "public.embedding", "d4041791-0e6f-41c9-879b-e8e7efd59629"),
        ("cloudevent_face_delete", "public.embedding", "d4041791-0e6f-41c9-879b-e8e7efd59629"),
    ],
)
def test_a_delete_empties_the_slot_of_its_key_whoever_owned_it(
    name: str, table: str, face: str
) -> None:
    fact = removed(RECORDS[name])

    assert (fact.store, fact.face) == slot(table, face)
    assert (fact.place, fact.subject) == (None, None)


@pytest.mark.parametrize("key", [None, b"", b"f0020007", b'{"person_id":"x"}', b"[1]"])
def test_a_delete_whose_key_is_of_no_use_is_known_by_the_key_columns_of_before(
    key: bytes | None,
) -> None:
    fact = removed(RECORDS["delete"]._replace(key=key))

    assert (fact.store, fact.face) == slot("public.face_template", "f0020007")


def test_a_delete_that_names_no_key_at_all_is_set_aside() -> None:
    record = changed("delete", lambda value: value.update(before=None))

    assert reason(record._replace(key=None)) is Reason.COLUMN_ABSENT


def test_a_key_change_empties_the_old_slot_and_fills_the_new_one_at_one_position() -> None:
    old, new = removed(RECORDS["key_change_delete"]), enrolled(RECORDS["key_change_insert"])

    assert old.version == new.version
    assert old.face != new.face


@pytest.mark.parametrize(
    ("name", "store"),
    [
        ("lab_truncate", "src/lab.embedding"),
        ("truncate", "src/public.embedding"),
        ("schema_truncate", "src/public.embedding"),
        ("cloudevent_truncate", "src/public.embedding"),
    ],
)
def test_a_truncation_empties_the_store_of_its_own_table(name: str, store: str) -> None:
    decoded = adapter().decode(RECORDS[name], NOW)

    (fact,) = decoded.facts
    assert isinstance(fact, Truncated)
    assert fact.store == Store(store, Order.LOG)
    assert decoded.log == LogPoint(fact.version, fact.at)


def test_all_three_shapes_of_one_change_name_the_same_slot_and_person() -> None:
    facts = [enrolled(RECORDS[f"{shape}face_insert"]) for shape in ("", "schema_", "cloudevent_")]

    assert len({(fact.store, fact.face, fact.place, fact.subject) for fact in facts}) == 1


def test_the_op_of_a_cloudevent_is_in_its_attributes_and_its_time_to_the_microsecond() -> None:
    fact = enrolled(RECORDS["cloudevent_face_insert"])

    assert fact.at == 1795323099418880
    assert fact.version == Version(0, 26899064, 26909608)


@pytest.mark.parametrize(
    ("gone", "at"),
    [
        (("iodebeziumtsus",), 1795323099418000),
        # Only the time of the event itself is left.
        (("iodebeziumtsus", "iodebeziumtsms"), 1795323099418000),
    ],
)
def test_a_cloudevent_without_microseconds_is_dated_to_the_millisecond(
    gone: tuple[str, ...], at: int
) -> None:
    record = changed("cloudevent_face_insert", lambda value: [value.pop(key) for key in gone])

    assert enrolled(record).at == at


def test_a_cloudevent_may_carry_its_rows_with_their_schema() -> None:
    record = changed(
        "cloudevent_face_insert",
        lambda value: value.update(data={"schema": {}, "payload": value["data"]}),
    )

    assert enrolled(record) == enrolled(RECORDS["cloudevent_face_insert"])


# What is ignored


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("tombstone", Ignored.TOMBSTONE),
        ("message", Ignored.MESSAGE),
        ("heartbeat", Ignored.HEARTBEAT),
        ("begin", Ignored.TRANSACTION),
        ("end", Ignored.TRANSACTION),
        ("marker_insert", Ignored.UNMAPPED_TABLE),
        ("marker_snapshot_last", Ignored.UNMAPPED_TABLE),
    ],
)
def test_what_says_nothing_about_storage_is_ignored(name: str, ignored: Ignored) -> None:
    decoded = adapter().decode(RECORDS[name], NOW)

    assert decoded.ignored is ignored
    assert decoded.facts == ()
    assert decoded.log is None


def test_a_change_of_the_schema_is_ignored() -> None:
    value = b'{"source":{"table":"faces"},"ts_ms":1,"ddl":"ALTER TABLE faces","tableChanges":[]}'

    decoded = adapter().decode(RECORDS["insert"]._replace(value=value), NOW)
    assert decoded == Decoded(ignored=Ignored.SCHEMA_CHANGE)


def test_a_null_payload_is_a_tombstone() -> None:
    record = RECORDS["insert"]._replace(value=b'{"schema":null,"payload":null}')

    assert adapter().decode(record, NOW).ignored is Ignored.TOMBSTONE


@pytest.mark.parametrize("ts_us", [0, NOW * 2, -1])
def test_an_ignored_record_with_a_mad_clock_is_still_ignored_and_tells_no_time(ts_us: int) -> None:
    decoded = adapter().decode(with_source("marker_insert", ts_us=ts_us), NOW)

    assert decoded == Decoded(ignored=Ignored.UNMAPPED_TABLE)


def test_a_flattened_row_is_not_mistaken_for_a_heartbeat() -> None:
    record = RECORDS["insert"]._replace(value=b'{"ts_ms":1795323199675,"face_id":"f1"}')

    assert reason(record) is Reason.NOT_DEBEZIUM


# The log position


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        # Right after a start there is no commit yet.
        ({"sequence": '[null,"90560504"]'}, Version(3, 90560504, 90560504)),
        ({"sequence": "[1,2]"}, Version(3, 1, 2)),
        ({"sequence": '["7",null]'}, Version(3, 7, 90560504)),
        ({"sequence": None}, Version(3, 90560504, 90560504)),
        ({"sequence": None, "lsn": "12"}, Version(3, 12, 12)),
        ({"sequence": f'["1","{2**64 - 1}"]'}, Version(3, 1, 2**64 - 1)),
    ],
)
def test_a_change_is_ordered_by_epoch_commit_and_its_own_position(
    fields: dict[str, object], version: Version
) -> None:
    (fact,) = adapter(epoch=3).decode(with_source("insert", **fields), NOW).facts

    assert isinstance(fact, Enrolled)
    assert fact.version == version


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": None, "lsn": None},
        {"sequence": "[null,null]", "lsn": None},
        {"sequence": "not a list"},
        {"sequence": '["1"]'},
        {"sequence": '["1","2","3"]'},
        {"sequence": '["-1","2"]'},
        {"sequence": f'["1","{2**64}"]'},
        {"sequence": None, "lsn": "1_000"},
        {"sequence": None, "lsn": -1},
        # Another database has another log, which nobody has checked yet.
        {"connector": "mysql"},
    ],
)
def test_a_position_that_cannot_be_trusted_is_set_aside(fields: dict[str, object]) -> None:
    assert reason(with_source("insert", **fields)) is Reason.BAD_POSITION


# Who says when


def test_milliseconds_do_where_the_connector_gives_no_microseconds() -> None:
    record = changed("insert", lambda value: [value["source"].pop(key) for key in CLOCKS])

    assert enrolled(record).at == 1795323346857000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ts_us": None, "ts_ms": None}, Reason.BAD_TIME),
        ({"ts_us": 1_000_000}, Reason.TOO_EARLY),
        ({"ts_us": 1795323346857572 + 3_600_000_000}, Reason.IN_THE_FUTURE),
        ({"ts_us": 10**30}, Reason.BAD_TIME),
    ],
)
def test_a_fact_with_a_mad_clock_is_set_aside(fields: dict[str, object], expected: Reason) -> None:
    assert reason(with_source("insert", **fields)) is expected


READ = 1795323330561749
CREATED = 1795323325836217


@pytest.mark.parametrize(
    ("created_at", "at"),
    [
        ("2026-11-22T04:55:25.836217Z", CREATED),
        ("2026-11-22T12:55:25.836217+08:00", CREATED),
        (CREATED, CREATED),
        (CREATED * 1000 + 999, CREATED),
        (CREATED // 1000, CREATED // 1000 * 1000),
        (CREATED // 1_000_000, CREATED // 1_000_000 * 1_000_000),
        # Null, absurd, of no known zone, no time at all: the row was there when it was read.
        (None, READ),
        ("1970-01-01T00:00:00Z", READ),
        ("2026-11-22T04:55:30.561750Z", READ),
        ("2026-11-22T04:55:25", READ),
        ("yesterday", READ),
        (True, READ),
        (1.5, READ),
        ([CREATED], READ),
        (20_779, READ),
        (10**40, READ),
    ],
)
def test_a_column_dates_a_snapshot_row_if_it_can(created_at: object, at: int) -> None:
    fact = enrolled(with_row("snapshot_row", created_at=created_at), dated_by="created_at")

    assert (fact.at, fact.read_at) == (at, READ)
    assert fact.version == Version(0, 90395104, 90395104)


def test_a_row_dated_by_a_column_advances_its_partition_by_the_read_time() -> None:
    decoded = adapter(dated_by="created_at").decode(RECORDS["snapshot_row"], NOW)

    assert decoded.instant == READ


@pytest.mark.parametrize("record", [RECORDS["insert"], without("insert", "created_at")])
def test_no_column_dates_a_live_change(record: Record) -> None:
    assert enrolled(record, dated_by="created_at").at == 1795323346857572


def test_a_snapshot_row_without_the_dating_column_has_the_read_time() -> None:
    assert enrolled(without("snapshot_row", "created_at"), dated_by="created_at").at == READ


def test_a_snapshot_row_that_stores_no_face_is_dated_by_the_read_time() -> None:
    rule = {"column": "status", "in": ["gone"]}

    assert removed(RECORDS["snapshot_row"], stored=rule, dated_by="created_at").at == READ


# What a snapshot's flag proves


@pytest.mark.parametrize(
    ("op", "flag", "sign"),
    [
        ("r", "first", {"row": True}),
        ("r", "first_in_data_collection", {"row": True}),
        ("r", "true", {"row": True}),
        ("r", True, {"row": True}),
        ("r", "last_in_data_collection", {"row": True, "ends_table": True}),
        ("r", "last", {"row": True, "ends_table": True, "ends_all": True}),
        ("r", "incremental", {"row": True, "incremental": True}),
        # Whatever its flag, an r is a row that was read.
        ("r", "false", {"row": True}),
        ("r", None, {"row": True}),
        ("c", "false", {"ends_table": True, "ends_all": True}),
        ("u", False, {"ends_table": True, "ends_all": True}),
        ("d", None, {"ends_table": True, "ends_all": True}),
        # A flag of a later version proves the end of nothing.
        ("c", "resumed", {"row": True}),
    ],
)
@pytest.mark.parametrize("name", ["insert", "marker_insert"])
def test_a_flag_tells_how_far_the_snapshot_is_mapped_or_not(
    name: str, op: str, flag: object, sign: dict[str, bool]
) -> None:
    record = changed(
        name, lambda value: (value.update(op=op), value["source"].update(snapshot=flag))
    )
    decoded = adapter().decode(record._replace(key=b'{"face_id":"f1"}'), NOW)

    assert decoded.instant is not None
    assert decoded.sign == SnapshotSign("threshold", decoded.instant, **sign)


def test_a_message_in_the_log_proves_that_the_snapshot_is_over() -> None:
    sign = adapter().decode(RECORDS["message"], NOW).sign

    assert sign == SnapshotSign("own-gallery", 1795323275243801, ends_table=True, ends_all=True)
