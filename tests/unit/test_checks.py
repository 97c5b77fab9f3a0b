import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.intake import Reason
from streams.adapters import checks
from streams.records import Undecodable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = 1_748_779_200_000_000  # 2025-06-01T12:00:00Z
MINUTE = 60_000_000


def reason(check: Any, *args: Any) -> Reason:
    with pytest.raises(Undecodable) as caught:
        check(*args)
    assert caught.value.__context__ is None, "an error behind the error may quote the record"
    return caught.value.reason


def outcome(check: Callable[..., object], *args: object) -> object:
    """Return what *check* returns, or the reason with which it refuses."""
    try:
        return check(*args)
    except Undecodable as exc:
        return exc.reason


@pytest.mark.parametrize("value", ["acme", "市公安局", "gate 7", "00123", "a" * 200])
def test_a_printable_name_comes_back_as_it_is(value: str) -> None:
    assert checks.name(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Reason.MISSING_FIELD),
        ("", Reason.MISSING_FIELD),
        (7, Reason.BAD_TEXT),
        ([], Reason.BAD_TEXT),
        ("a\0b", Reason.BAD_TEXT),
        ("a\nb", Reason.BAD_TEXT),
        ("\ud800", Reason.BAD_TEXT),
        ("a\u200bb", Reason.BAD_TEXT),  # invisible: two names would look the same
        ("a" * 201, Reason.TOO_LONG),
    ],
)
def test_what_is_no_name_is_refused(value: object, expected: Reason) -> None:
    assert reason(checks.name, value) is expected


@pytest.mark.parametrize(
    "value", ["00123", "123", "张三", " 123", "a\u200bb", "e\u0301", "x" * 512]
)
def test_an_id_is_exact(value: str) -> None:
    assert checks.ident(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Reason.MISSING_FIELD),
        ("", Reason.MISSING_FIELD),
        (123, Reason.BAD_TEXT),
        (True, Reason.BAD_TEXT),
        ("a\0", Reason.BAD_TEXT),
        ("\x85", Reason.BAD_TEXT),
        ("ok\udfff", Reason.BAD_TEXT),
        ("x" * 513, Reason.TOO_LONG),
        ("x" * 10_240, Reason.TOO_LONG),
    ],
)
def test_what_is_no_id_is_refused(value: object, expected: Reason) -> None:
    assert reason(checks.ident, value) is expected


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=512))
def test_any_storable_text_is_an_id(value: str) -> None:
    assert checks.ident(value) == value


@given(st.text(st.characters(categories=["Cc", "Cs"]), min_size=1, max_size=1), st.text())
def test_one_control_character_or_surrogate_spoils_an_id(bad: str, rest: str) -> None:
    assert reason(checks.ident, rest[:200] + bad + rest[200:400]) is Reason.BAD_TEXT


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-06-01T12:00:00Z", NOON),
        ("2025-06-01t12:00:00z", NOON),
        ("2025-06-01 12:00:00Z", NOON),
        ("2025-06-01T12:00:00.1Z", NOON + 100_000),
        ("2025-06-01T12:00:00.000001Z", NOON + 1),
        # Finer than a microsecond is cut, not rounded.
        ("2025-06-01T12:00:00.0000019999Z", NOON + 1),
        ("2025-06-01T20:00:00+08:00", NOON),
        ("2025-06-01T20:00:00.000002+08:00", NOON + 2),
        ("2025-05-31T18:30:00-17:30", NOON),
        ("2025-06-01T12:00:00-00:00", NOON),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
def test_a_time_is_an_instant_in_microseconds_utc(text: str, at: int) -> None:
    assert checks.rfc3339(text) == at


@pytest.mark.parametrize(
    "text",
    [
        None,
        1_748_736_000_123,
        "",
        "Z",
        "now",
        "2025-06-01",
        "2025-06-01T12:00:00",  # no time zone
        "2025-06-01T12:00Z",
        "2025-06-01T12:00:60Z",  # leap second
        "2025-06-01T12:60:00Z",
        "2025-06-01T24:00:00Z",
        "2025-02-29T12:00:00Z",
        "2025-00-10T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "12025-06-01T12:00:00Z",
        "-2025-06-01T12:00:00Z",
        "2025-W22-7T12:00:00Z",
        "20250601T120000Z",
        "2025-06-01T12:00:0Z",
        "2025-06-01T12:00:00.Z",
        "2025-06-01T12:00:00,5Z",
        "2025-06-01T12:00:00.5.5Z",
        "2025-06-01T12:00:00+24:00",
        "2025-06-01T12:00:00+08:60",
        "2025-06-01T12:00:00+0800",
        "2025-06-01T12:00:00+99:99",
        "2025-06-01T12:00:00+08:00Z",
        "2025-06-01T12:00:00ZZ",
        " 2025-06-01T12:00:00Z",
        "2025-06-01T12:00:00Z\n",
        "２０２５-06-01T12:00:00Z",
        "2025-06-01T12:00:00." + "0" * 100 + "Z",
    ],
)
def test_what_is_no_time_is_refused(text: object) -> None:
    assert reason(checks.rfc3339, text) is Reason.BAD_TIME


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_every_time_that_python_writes_is_read_alike(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (aware - EPOCH) // timedelta(microseconds=1)

    assert checks.rfc3339(aware.isoformat()) == expected
    assert checks.rfc3339(aware.astimezone(UTC).isoformat().replace("+00:00", "Z")) == expected


@given(st.text(max_size=40) | st.from_regex(r"[0-9TtZz:.+ -]{20,32}"))
def test_any_text_is_a_time_or_bad_time(text: str) -> None:
    assert isinstance(outcome(checks.rfc3339, text), int) or (
        outcome(checks.rfc3339, text) is Reason.BAD_TIME
    )


@pytest.mark.parametrize(
    ("at", "timestamp_ms", "read_at"),
    [
        # Up to five minutes ahead of the record, to the microsecond.
        (NOON + 5 * MINUTE, NOON // 1000, NOON + 60 * MINUTE),
        # No timestamp: our clock bounds.
        (NOON + 5 * MINUTE, -1, NOON),
        (NOON + 5 * MINUTE, 0, NOON),
        # A record from the future does not lift the bound of our clock.
        (NOON + 5 * MINUTE, (NOON + 60 * MINUTE) // 1000, NOON),
        (checks.EARLIEST, NOON // 1000, NOON),
    ],
)
def test_a_plausible_instant_passes(at: int, timestamp_ms: int, read_at: int) -> None:
    assert checks.bounded(at, timestamp_ms, read_at) == at


@pytest.mark.parametrize(
    ("at", "timestamp_ms", "read_at", "expected"),
    [
        (NOON + 5 * MINUTE + 1, NOON // 1000, NOON + 60 * MINUTE, Reason.IN_THE_FUTURE),
        (NOON + 5 * MINUTE + 1, -1, NOON, Reason.IN_THE_FUTURE),
        (NOON + 5 * MINUTE + 1, (NOON + 60 * MINUTE) // 1000, NOON, Reason.IN_THE_FUTURE),
        (checks.EARLIEST - 1, NOON // 1000, NOON, Reason.TOO_EARLY),
        (-62_135_596_800_000_000, NOON // 1000, NOON, Reason.TOO_EARLY),
    ],
)
def test_an_instant_of_a_wrong_clock_is_refused(
    at: int, timestamp_ms: int, read_at: int, expected: Reason
) -> None:
    assert reason(checks.bounded, at, timestamp_ms, read_at) is expected


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0), (7, 7), ("7", 7), ("007", 7), (2**64 - 1, 2**64 - 1), (str(2**64 - 1), 2**64 - 1)],
    ids=repr,
)
def test_a_sequence_is_a_number_or_its_digits(value: object, number: int) -> None:
    assert checks.sequence(value) == number


@pytest.mark.parametrize(
    "value",
    [None, "", "x", "-1", "+1", " 1", "1.0", 1.0, True, -1, 2**64, str(2**64), "9" * 41, "٣", []],
    ids=repr,
)
def test_what_is_no_sequence_is_refused(value: object) -> None:
    assert reason(checks.sequence, value) is Reason.BAD_SEQUENCE


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
@example({"a": [1, {"b": "\ud800"}]})
def test_json_comes_back(value: object) -> None:
    assert checks.load_json(json.dumps(value).encode()) == value


def test_of_a_repeated_key_the_last_one_wins() -> None:
    assert checks.load_json(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"{",
        b"{} {}",
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',  # a surrogate as UTF-8
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b"9" * 5_000,
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda data: f"{data[:20]!r}-{len(data)}",
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    assert reason(checks.load_json, data) is Reason.NOT_JSON


def test_too_many_bytes_are_refused_unparsed() -> None:
    assert reason(checks.load_json, b" " * (checks.MAX_VALUE_BYTES + 1)) is Reason.TOO_LARGE


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_not_json(data: bytes) -> None:
    try:
        expected: object = json.loads(data.decode(), parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        expected = Reason.NOT_JSON

    assert outcome(checks.load_json, data) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"image": "x"},
        {"Face_Image": "x"},
        {"faceImage": {"url": "x"}},
        {"a": {"b": [{"embedding": [0.1]}]}},
        {"template": "v1"},
        {"photo-base64": "x"},
        {"a": "A" * 257},
        {"a": "deadbeef" * 64},
        {"a": "YWJj\n" * 80},
        {"a": "[" + "0.123,-1.5e-3," * 40 + "1]"},
        {"a": " data:image/png;base64,AAAA"},
        {"a": [0.5] * 33},
        {"a": [[1] * 40]},
        {"a": {str(n): n for n in range(40)}},
        ["x", "A" * 300],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_face_is_refused_wherever_it_is(value: object) -> None:
    assert reason(checks.refuse_biometric_content, value) is Reason.HAS_BIOMETRIC_CONTENT


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"image": None, "photo": "", "template": [], "embedding": {}},
        {"system": "gate", "note": "a longer text about nothing, with commas. " * 20},
        {"counts": list(range(32))},
        {"a": "A" * 256},
        {"imagination": "x"},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_holds_no_face_passes(value: object) -> None:
    checks.refuse_biometric_content(value)  # does not raise


def test_only_texts_of_checked_keys_at_the_top_are_left_to_the_caller() -> None:
    keys = frozenset({"face"})

    checks.refuse_biometric_content({"face": "A" * 300}, keys)
    for value in ({"face": ["A" * 300]}, {"a": {"face": "A" * 300}}):
        assert reason(checks.refuse_biometric_content, value, keys) is Reason.HAS_BIOMETRIC_CONTENT
