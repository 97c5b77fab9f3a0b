import base64
import gzip
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.intake import Coordinates, Reason, Reject
from streams.files import LONGEST_LINE, UNKNOWN, FileDamaged, Line, read_records, total_size
from streams.records import Record

CANARY = "zhang-san-42"
EVENT = b'{"specversion":"1.0","type":"facetally.system.purged"}'


def b64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def kafka(**changes: Any) -> dict[str, Any]:
    """Return a line as in the recordings."""
    line: dict[str, Any] = {
        "topic": "own.public.face",
        "partition": 2,
        "offset": 41,
        "timestamp": 1_748_736_000_123,
        "key": b64(b"k"),
        "value": b64(b'{"op":"c"}'),
        "headers": [["a", b64(b"\xff")], ["b", None]],
    }
    return {name: value for name, value in {**line, **changes}.items() if value is not ...}


def encoded(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def read(path: Path, data: bytes, **settings: Any) -> list[Line]:
    path.write_bytes(data)
    return list(read_records([path], **settings))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faces.jsonl"


def bare(number: int, value: bytes = EVENT, timestamp: int = UNKNOWN) -> Record:
    return Record("faces.jsonl", 0, number, timestamp, None, value)


def broken(number: int, reason: Reason = Reason.BAD_RECORD) -> Reject:
    return Reject(Coordinates("faces.jsonl", 0, number), reason)


def test_a_line_of_a_recording_is_the_record_that_was_in_kafka(path: Path) -> None:
    record = Record(
        "own.public.face",
        2,
        41,
        1_748_736_000_123,
        b"k",
        b'{"op":"c"}',
        [("a", b"\xff"), ("b", None)],
    )

    assert read(path, encoded(kafka())) == [record]


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"value": None}, "value", None),  # a tombstone
        ({"value": ""}, "value", b""),
        ({"key": None}, "key", None),
        ({"key": ...}, "key", None),
        ({"headers": ...}, "headers", ()),
        ({"headers": None}, "headers", ()),
        ({"timestamp": ...}, "timestamp", UNKNOWN),
        ({"timestamp": -1}, "timestamp", UNKNOWN),
        ({"extra": [1]}, "topic", "own.public.face"),
    ],
    ids=str,
)
def test_a_line_may_leave_out_what_a_record_may_lack(
    path: Path, changes: dict[str, Any], field: str, expected: object
) -> None:
    (line,) = read(path, encoded(kafka(**changes)))

    assert isinstance(line, Record)
    assert getattr(line, field) == expected


def test_a_bare_event_is_a_record_of_its_file_and_line(path: Path) -> None:
    assert read(path, EVENT + b"\n" + EVENT + b"\n") == [bare(0), bare(1)]


def test_a_bare_event_may_be_dated_by_when_its_file_was_recorded(path: Path) -> None:
    lines = read(path, EVENT, recorded_until=1_748_736_000_123_999)

    assert lines == [bare(0, timestamp=1_748_736_000_123)]


def test_a_record_of_kafka_keeps_its_own_time(path: Path) -> None:
    (line,) = read(path, encoded(kafka()), recorded_until=5)

    assert isinstance(line, Record)
    assert line.timestamp == 1_748_736_000_123


@pytest.mark.parametrize(
    "value",
    [
        b'{"specversion":"1.0","topic":"x","key":5,"value":[],"offset":"a"}',
        b'{"specversion":"1.0","subject":"\\ud800"}',
        b'{"hello":"world"}',
        b"{}",
    ],
)
def test_an_object_that_is_no_record_is_left_to_the_adapter(path: Path, value: bytes) -> None:
    assert read(path, value) == [bare(0, value)]


@pytest.mark.parametrize(
    "line",
    [
        b"hello " + CANARY.encode(),
        b"{",
        b"\xff",
        b"\0",
        b"[]",
        b"null",
        b'{"a":NaN}',
        b"[" * 100_000,
        json.dumps(kafka())[:-5].encode(),
        json.dumps(kafka(topic=5)).encode(),
        json.dumps(kafka(topic="")).encode(),
        json.dumps(kafka(topic="a\0b")).encode(),
        json.dumps(kafka(topic="a" * 250)).encode(),
        json.dumps(kafka(topic=CANARY + "\ud800")).encode(),
        json.dumps(kafka(partition="0")).encode(),
        json.dumps(kafka(partition=-1)).encode(),
        json.dumps(kafka(partition=2**31)).encode(),
        json.dumps(kafka(offset=...)).encode(),
        json.dumps(kafka(offset=None)).encode(),
        json.dumps(kafka(offset=1.5)).encode(),
        json.dumps(kafka(offset=True)).encode(),
        json.dumps(kafka(offset=-1)).encode(),
        json.dumps(kafka(offset=2**63)).encode(),
        json.dumps(kafka(timestamp="now")).encode(),
        json.dumps(kafka(timestamp=2**63)).encode(),
        json.dumps(kafka(value=...)).encode(),
        json.dumps(kafka(value="not base64!")).encode(),
        json.dumps(kafka(value="e30")).encode(),  # not padded
        json.dumps(kafka(value={"op": "c"})).encode(),
        json.dumps(kafka(key=5)).encode(),
        json.dumps(kafka(headers={"a": "b"})).encode(),
        json.dumps(kafka(headers=[["a"]])).encode(),
        json.dumps(kafka(headers=[[1, None]])).encode(),
    ],
    ids=range(33),
)
def test_a_broken_line_is_set_aside_and_those_around_it_count(path: Path, line: bytes) -> None:
    lines = read(path, EVENT + b"\n" + line + b"\n" + EVENT)

    assert lines == [bare(0), broken(1), bare(2)]


def test_empty_lines_are_passed_over_but_numbered(path: Path) -> None:
    lines = read(path, b"\n \n" + EVENT + b"\r\n\n" + EVENT + b"\n\n")

    assert lines == [bare(2, EVENT + b"\r"), bare(4)]


def test_a_byte_order_mark_is_no_part_of_the_first_line(path: Path) -> None:
    assert read(path, b"\xef\xbb\xbf" + EVENT + b"\n") == [bare(0)]


def test_an_empty_file_has_no_lines(path: Path) -> None:
    assert read(path, b"") == []


def test_a_value_of_5_mb_comes_through(path: Path) -> None:
    value = bytes(range(256)) * 20_000
    large, after = read(path, encoded(kafka(value=b64(value)), kafka()))

    assert isinstance(large, Record)
    assert large.value == value
    assert isinstance(after, Record)


def test_an_over_long_line_is_set_aside_unread(path: Path) -> None:
    lines = read(path, EVENT + b"\n" + b"x" * (LONGEST_LINE + 1) + b"\n" + EVENT)

    assert lines == [bare(0), broken(1, Reason.TOO_LARGE), bare(2)]


def packed(suffix: str, data: bytes) -> bytes:
    if suffix == ".zst":
        return zstandard.compress(data)
    return gzip.compress(data) if suffix == ".gz" else data


@pytest.mark.parametrize("suffix", [".zst", ".gz", ""])
@pytest.mark.parametrize("frames", [1, 3])
def test_packed_files_are_read_whatever_their_number_of_frames(
    tmp_path: Path, suffix: str, frames: int
) -> None:
    path = tmp_path / f"faces.ndjson{suffix}"
    lines = read(path, packed(suffix, EVENT + b"\n") * frames)

    assert [line.value for line in lines if isinstance(line, Record)] == [EVENT] * frames


@pytest.mark.parametrize("suffix", [".zst", ".gz", ""])
def test_the_bytes_consumed_add_up_to_the_size_of_the_files(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}.jsonl{suffix}" for name in "ab"]
    for path in paths:
        path.write_bytes(packed(suffix, many(5_000)))
    steps: list[int] = []
    lines = list(read_records(paths, consumed=steps.append))

    assert len(lines) == 10_000
    assert sum(steps) == total_size(paths)
    assert len(steps) > len(paths)


def many(count: int) -> bytes:
    # Values that do not pack well, so that the packed file is of several blocks.
    return b"".join(
        encoded(kafka(offset=n, value=b64(n.to_bytes(8, "big") * 9 + str(hash((n, n))).encode())))
        for n in range(count)
    )


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.9999])
def test_a_packed_file_that_breaks_off_says_so_after_its_whole_lines(
    tmp_path: Path, suffix: str, kept: float
) -> None:
    path = tmp_path / f"faces.jsonl{suffix}"
    whole = packed(suffix, many(10_000))
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FileDamaged) as caught:
        list(read_records([path]))

    assert str(caught.value) == f"{path} breaks off after {path.stat().st_size} bytes"


@pytest.mark.parametrize("suffix", ["", ".zst", ".gz"])
@pytest.mark.parametrize("last", [json.dumps(kafka()).encode(), EVENT], ids=["kafka", "bare"])
def test_a_file_that_ends_within_a_line_is_damaged_wherever_it_was_cut(
    tmp_path: Path, suffix: str, last: bytes
) -> None:
    path = tmp_path / f"faces.jsonl{suffix}"
    before, seen = encoded(kafka()) * 2, []
    for length in range(1, len(last)):
        path.write_bytes(packed(suffix, before + last[:length]))
        seen.append(len(read_until_damage([path])))
    with pytest.raises(FileDamaged) as caught:
        list(read_records([path]))

    assert seen == [2] * (len(last) - 1)
    assert (
        str(caught.value)
        == f"{path} ends in the middle of a line after {path.stat().st_size} bytes"
    )


@pytest.mark.parametrize("last", [json.dumps(kafka()).encode(), EVENT, b"  "])
def test_a_last_line_without_its_end_that_is_whole_is_read(path: Path, last: bytes) -> None:
    assert read(path, EVENT + b"\n" + last) == read(path, EVENT + b"\n" + last + b"\n")


def test_an_over_long_last_line_without_its_end_is_damage(path: Path) -> None:
    path.write_bytes(EVENT + b"\n" + b"x" * (LONGEST_LINE + 1))

    assert read_until_damage([path]) == [bare(0)]


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
def test_whole_lines_before_the_damage_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"faces.jsonl{suffix}"
    whole = packed(suffix, many(10_000))
    path.write_bytes(whole[: len(whole) * 9 // 10])
    lines = read_until_damage([path])

    assert len(lines) > 5_000
    assert all(isinstance(line, Record) for line in lines)


def read_until_damage(paths: Iterable[Path]) -> list[Line]:
    lines: list[Line] = []
    try:
        for line in read_records(paths):
            lines.append(line)  # noqa: PERF402 - what was read before the exception is wanted
    except FileDamaged:
        return lines
    pytest.fail("not damaged")


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
@pytest.mark.parametrize("data", [b"hello, not packed at all", EVENT * 100])
def test_a_file_that_is_not_packed_as_its_name_says_is_damaged(
    tmp_path: Path, suffix: str, data: bytes
) -> None:
    path = tmp_path / f"faces.jsonl{suffix}"
    path.write_bytes(data)
    with pytest.raises(FileDamaged) as caught:
        list(read_records([path]))

    assert (caught.value.path, caught.value.position) == (path, 0)
    assert str(caught.value) == f"{path} does not unpack after 0 bytes"


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_records([tmp_path / "none.jsonl"]))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl.zst"
    path.write_bytes(zstandard.compress((b" " * 999 + b"\n") * 50_000))  # 50 MB of nothing
    tracemalloc.start()
    try:
        lines = list(read_records([path]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert lines == []
    assert peak < 40_000_000


def test_a_strange_file_name_is_a_topic_that_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "fa\nces \udcff.jsonl"
    (line,) = read(path, EVENT)

    assert isinstance(line, Record)
    assert line.topic == "fa?ces ?.jsonl"


LINES = st.binary(max_size=40).filter(lambda line: b"\n" not in line and line[:1] != b"\xef")


@given(st.lists(LINES, max_size=5))
@example([b'{"topic":"a"}', b'{"offset":1}', b'{"value":null}'])
def test_any_line_is_a_record_or_a_reject_at_its_number(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    found = read(path, b"".join(line + b"\n" for line in lines))
    numbers = [line.offset if isinstance(line, Record) else line.where.offset for line in found]

    assert numbers == [n for n, line in enumerate(lines) if line.strip()]
