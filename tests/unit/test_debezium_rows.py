"""What the Debezium adapter reads from a row: whether a face is stored, and whose it is."""

from __future__ import annotations

import pytest

from monitor.facts import Enrolled, Place, Removed
from monitor.intake import Reason
from tests.unit.debezium_records import (
    IDENTITY,
    NOW,
    RECORDS,
    adapter,
    enrolled,
    reason,
    removed,
    slot,
    with_row,
    without,
)

# When a row still holds a face


@pytest.mark.parametrize(
    ("rule", "columns", "kind"),
    [
        ("row", {"status": "deleted", "template": None}, Enrolled),
        ({"column": "status", "in": ["active"]}, {"status": "active"}, Enrolled),
        ({"column": "status", "in": ["active"]}, {"status": "deleted"}, Removed),
        ({"column": "status", "in": ["active"]}, {"status": None}, Removed),
        ({"column": "status", "in": [1]}, {"status": 1}, Enrolled),
        ({"column": "status", "in": [True]}, {"status": True}, Enrolled),
        ({"column": "status", "in": [True]}, {"status": False}, Removed),
        ({"column": "template", "present": True}, {"template": "AAAA"}, Enrolled),
        ({"column": "template", "present": True}, {"template": None}, Removed),
        ({"column": "template", "present": True}, {"template": [0.1, 0.2]}, Enrolled),
        (
            {"column": "template", "present": True},
            {"template": "__debezium_unavailable_value"},
            Enrolled,
        ),
        ({"column": "deleted_at", "present": False}, {"deleted_at": None}, Enrolled),
        (
            {"column": "deleted_at", "present": False},
            {"deleted_at": "2026-01-01T00:00:00Z"},
            Removed,
        ),
    ],
)
def test_the_rule_decides_between_enrolled_and_removed(
    rule: object, columns: dict[str, object], kind: type
) -> None:
    (fact,) = adapter(stored=rule).decode(with_row("office_insert", **columns), NOW).facts

    assert isinstance(fact, kind)


def test_a_real_placeholder_for_a_template_means_that_it_is_still_there() -> None:
    fact = enrolled(RECORDS["office_toast"], stored={"column": "template", "present": True})

    assert fact.place == Place("borealis", "office-canteen", "office")


def test_a_real_purged_template_is_a_removal_without_a_person() -> None:
    fact = removed(RECORDS["office_purged"], stored={"column": "template", "present": True})

    assert (fact.place, fact.subject) == (None, None)


@pytest.mark.parametrize("column", ["person_id", "tenant", "system"])
def test_a_row_that_holds_no_face_need_not_say_whose_it_was(column: str) -> None:
    rule = {"column": "status", "in": ["active"]}

    assert removed(with_row("soft_delete", **{column: None}), stored=rule)


# Ids, exactly


@pytest.mark.parametrize(
    ("name", "person"), [("leading_zeros", "00123"), ("chinese_id", "工号0020")]
)
def test_an_id_is_hashed_exactly_as_it_stands_there(name: str, person: str) -> None:
    fact = enrolled(RECORDS[name])

    place = fact.place
    assert fact.subject == IDENTITY.subject(place.processor, place.system, person)


def test_an_integer_id_is_its_decimal_text_in_row_and_key() -> None:
    fact = enrolled(with_row("insert", face_id=42, person_id=2**70))
    gone = removed(RECORDS["delete"]._replace(key=b'{"face_id":42}'))

    assert fact.face == gone.face == slot("public.face_template", "42")[1]
    assert fact.subject == IDENTITY.subject("acme", "door", str(2**70))


def test_the_parts_of_a_composite_key_never_run_together() -> None:
    def face(a: str, b: str) -> bytes:
        columns = ["face_id", "part"]
        return enrolled(with_row("insert", face_id=a, part=b), face=columns).face

    faces = {face("1", "23"), face("12", "3"), face('1", "23', "x"), face("1,2", "3")}
    assert len(faces) == 4


def test_the_columns_of_a_composite_key_are_taken_in_the_order_of_the_mapping() -> None:
    columns = ["face_id", "part"]
    stored = enrolled(with_row("insert", face_id="a", part=7), face=columns)
    gone = removed(RECORDS["delete"]._replace(key=b'{"part":7,"face_id":"a"}'), face=columns)

    assert stored.face == gone.face


def test_a_gallery_column_that_is_null_is_the_unnamed_gallery() -> None:
    column = {"column": "site"}

    assert enrolled(with_row("insert", site=None), gallery=column).place.gallery == ""
    assert enrolled(with_row("insert", site="north"), gallery=column).place.gallery == "north"


@pytest.mark.parametrize("column", ["face_id", "person_id", "tenant", "system"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Reason.MISSING_FIELD),
        ("", Reason.MISSING_FIELD),
        (1.5, Reason.BAD_TEXT),
        (True, Reason.BAD_TEXT),
        ({"a": 1}, Reason.BAD_TEXT),
        ([1], Reason.BAD_TEXT),
        ("a\0b", Reason.BAD_TEXT),
        ("\ud800", Reason.BAD_TEXT),
        ("x" * 10_000, Reason.TOO_LONG),
        (10**600, Reason.TOO_LONG),
        # Stored out of line and not touched: nobody knows what it was.
        ("__debezium_unavailable_value", Reason.COLUMN_ABSENT),
        ("X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", Reason.COLUMN_ABSENT),
    ],
)
def test_a_column_that_cannot_name_anybody_is_set_aside(
    column: str, value: object, expected: Reason
) -> None:
    assert reason(with_row("insert", **{column: value})) is expected


@pytest.mark.parametrize("column", ["face_id", "person_id", "tenant", "system"])
def test_a_needed_column_that_is_left_out_at_the_source_is_told(column: str) -> None:
    assert reason(without("insert", column)) is Reason.COLUMN_ABSENT


@pytest.mark.parametrize(
    "rule", [{"column": "template", "present": True}, {"column": "state", "in": ["active"]}]
)
def test_a_rule_about_a_column_that_is_left_out_at_the_source_is_told(rule: object) -> None:
    assert reason(RECORDS["insert"], stored=rule) is Reason.COLUMN_ABSENT


def test_a_vector_in_the_row_is_neither_read_nor_a_reason_to_refuse() -> None:
    assert enrolled(RECORDS["vector_row"]).place == Place("compreface", "public", "")
