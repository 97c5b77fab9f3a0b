"""Bad input of every kind: its reject or its clear error, and the good records around it count."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from monitor.store.database import WrongDatabase, check_version
from monitor.store.engine import open_engine
from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.homes import Answer, Home, event, home, ready, topic
from tests.services.kafka import Kafka
from tests.services.process import free_port
from tests.workers import until

MISUSE, WRONG = 2, 1
BOUND = 30.0  # seconds within which an error must be told, on a busy machine
TOMORROW = (datetime.now(tz=UTC) + timedelta(days=1)).isoformat()
PASSWORD = "hunter2-canary"

DATABASE = """
[sources.db]
adapter = "debezium"
[[sources.db.tables]]
table = "public.face"
face = "id"
subject = "person"
processor = "beta"
system = "gate"
"""


def without(field: str) -> bytes:
    found = json.loads(event())
    del found["data"][field]
    return json.dumps(found).encode()


def change(person: str = "ann", *, column: str = "person", **source: object) -> bytes:
    at = int((time.time() - 60) * 1000)
    origin = {
        "connector": "postgresql",
        "name": "test",
        "schema": "public",
        "table": "face",
        "snapshot": "false",
        "lsn": 7,
        "ts_ms": at,
        **source,
    }
    after = {"id": f"face-{person}", column: person}
    return json.dumps({"before": None, "after": after, "source": origin, "op": "c"}).encode()


EMBEDDING = [0.25] * 512

# What a record is -> its value, and the reason for which it is set aside.
EVENTS: Mapping[str, tuple[bytes, str]] = {
    "not JSON": (b"{not json", "not_json"),
    "nothing": (b"", "not_json"),
    "not UTF-8": (b'{"specversion": "1.0", "x": "\xff"}', "not_json"),
    "Infinity": (event(level=float("inf")).encode(), "not_json"),
    "a number beyond all": (event().replace('"1"', "1e999").encode(), "not_json"),
    "a raw NUL": (event("a\x01b").replace("\\u0001", "\x00").encode(), "not_json"),
    "nesting without end": (b"[" * 100_000, "not_json"),
    "a list": (b"[]", "not_an_object"),
    "data that are a list": (
        event().replace('{"processor": "acme", "system": "gate"}', "[1]").encode(),
        "not_an_object",
    ),
    "no CloudEvent": (b"{}", "not_cloudevents"),
    "another version": (event(attributes={"specversion": "0.3"}).encode(), "not_cloudevents"),
    "an unknown type": (event(kind="face.admired").encode(), "unknown_type"),
    "a type for later": (event(kind="census.began").encode(), "not_yet_supported"),
    "no processor": (without("processor"), "missing_field"),
    "no system": (without("system"), "missing_field"),
    "no subject": (event(None).encode(), "missing_field"),
    "an empty subject": (event("").encode(), "missing_field"),
    "a subject that is a number": (event(attributes={"subject": 5}).encode(), "bad_text"),
    "a processor that is a list": (event(processor=["acme"]).encode(), "bad_text"),
    "a NUL": (event("a\x00b").encode(), "bad_text"),
    "a lone surrogate": (event("a\ud800b").encode(), "bad_text"),
    "a lone surrogate in a name": (event(system="\udfff").encode(), "bad_text"),
    "a subject of 10 kB": (event("né" * 5_000).encode(), "too_long"),
    "a processor of 10 kB": (event(processor="né " * 3_000).encode(), "too_long"),
    "a time that is a number": (event(time=5).encode(), "bad_time"),
    "a time without zone": (event(time="2026-03-02T08:00:00").encode(), "bad_time"),
    "31 February": (event(time="2026-02-31T08:00:00Z").encode(), "bad_time"),
    "year 1": (event(time="0001-01-01T00:00:00Z").encode(), "too_early"),
    "1999": (event(time="1999-12-31T23:59:59Z").encode(), "too_early"),
    "a day in the future": (event(time=TOMORROW).encode(), "in_the_future"),
    "a sequence below zero": (event(attributes={"sequence": "-1"}).encode(), "bad_sequence"),
    "an embedding": (event(embedding=EMBEDDING).encode(), "has_biometric_content"),
    "an embedding deep inside": (
        event(more={"of": [{"Face-Vector": EMBEDDING}]}).encode(),
        "has_biometric_content",
    ),
    "an image under another name": (
        event(extra=base64.b64encode(bytes(range(256)) * 4).decode()).encode(),
        "has_biometric_content",
    ),
    "5 MB": (event(more="x " * 2_500_000).encode(), "too_large"),
}
CHANGES: Mapping[str, tuple[bytes, str]] = {
    "not JSON": (b"{not json", "not_json"),
    "no change": (b'{"some": "thing"}', "not_debezium"),
    "an unknown operation": (change().replace(b'"op": "c"', b'"op": "x"'), "unknown_type"),
    "a column that is not there": (change(column="persn"), "column_absent"),
    "no position": (change(lsn=None), "bad_position"),
    "another database": (change(connector="mysql"), "bad_position"),
    "a person with a NUL": (change("a\x00b"), "bad_text"),
    "a person of 10 kB": (change("né" * 5_000), "too_long"),
    "year 1": (change(ts_ms=-62_135_596_800_000), "bad_time"),
    "1999": (change(ts_ms=946_684_799_000), "too_early"),
    "a day in the future": (change(ts_ms=int((time.time() + 86_400) * 1000)), "in_the_future"),
    "5 MB": (change("x" * 5_000_000), "too_large"),
}


class Mixed(NamedTuple):
    """Values with a good one before and after each bad one, and what is to become of them."""

    values: list[bytes | None]
    rejects: dict[int, str]
    individuals: int


def mixed(bad: Mapping[str, tuple[bytes, str]], good: Sequence[bytes]) -> Mixed:
    values: list[bytes | None] = []
    rejects: dict[int, str] = {}
    for value, reason in bad.values():
        values.append(good[len(rejects)])
        rejects[len(values)] = reason
        values.append(value)
    values += [None, good[len(rejects)]]  # a null value is a tombstone: ignored and counted
    return Mixed(values, rejects, len(rejects) + 1)


MIXED_EVENTS = mixed(EVENTS, [event(f"good-{i}").encode() for i in range(len(EVENTS) + 1)])
MIXED_CHANGES = mixed(CHANGES, [change(f"good-{i}", lsn=9 + i) for i in range(len(CHANGES) + 1)])


def recorded(name: str, values: Sequence[bytes | None]) -> list[str]:
    """Return *values* as lines of Kafka records in a file."""
    return [
        json.dumps(
            {
                "topic": name,
                "partition": 0,
                "offset": offset,
                "timestamp": int(time.time() * 1000),
                "key": None,
                "value": None if value is None else base64.b64encode(value).decode(),
            }
        )
        for offset, value in enumerate(values)
    ]


def rejected(made: Home, name: str) -> dict[int, str]:
    listed = made.json("rejects", "list", "--limit", "100000")["rejects"]
    return {one["offset"]: one["reason"] for one in listed if one["topic"] == name}


def says(answer: Answer, *named: str) -> None:
    """See that *answer* is exit 2 and one clear line on standard error."""
    assert answer.code == MISUSE, answer
    assert answer.out == ""
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert answer.err.startswith("facetally: ")
    assert PASSWORD not in answer.err
    assert all(part in answer.err for part in named), answer.err


@pytest.mark.parametrize(
    ("source", "given"),
    [("cloudevents", MIXED_EVENTS), ("db", MIXED_CHANGES)],
    ids=["events", "log"],
)
def test_applied_each_bad_record_gets_its_reason_and_the_good_ones_count(
    tmp_path: Path, source: str, given: Mixed
) -> None:
    made = ready(tmp_path, DATABASE)
    file = made.write("records.ndjson", recorded("bad-input", given.values))
    made.good("apply", file, "--source", source)

    assert rejected(made, "bad-input") == given.rejects
    assert list(made.individuals().values()) == [given.individuals]
    status = made.json("status")
    assert status["rejected"]["by_reason"] == Counter(given.rejects.values())
    assert status["ignored"]["by_reason"] == {"tombstone": 1}
    made.good("verify")


def test_bare_lines_that_are_no_records_are_rejected_by_their_number(tmp_path: Path) -> None:
    made = ready(tmp_path)
    lines = [event("a"), "{", event("b"), '"text"', "", event("c"), '{"topic": 5}', "\x00"]
    made.good("apply", made.write("events.ndjson", lines), "--source", "cloudevents")

    assert rejected(made, "events.ndjson") == dict.fromkeys([1, 3, 6, 7], "bad_record")
    assert made.individuals() == {"acme": 3}


def test_too_many_rejects_make_apply_exit_1_and_what_was_good_counts(tmp_path: Path) -> None:
    made = ready(tmp_path)
    few = made.write("few.ndjson", [event("ann"), *["{"] * 1_000])
    many = made.write("many.ndjson", [event("bob"), *["{"] * 1_001])

    assert made.run("apply", few, "--source", "cloudevents").code == 0
    answer = made.run("apply", many, "--source", "cloudevents", "--json")
    assert answer.code == WRONG
    assert answer.json()["too_many_rejects"]
    assert "reject_limit" in answer.err
    assert made.individuals() == {"acme": 2}
    assert made.json("status")["rejected"]["total"] == 2_001


def test_from_kafka_each_bad_record_gets_its_reason_and_a_flood_stops_its_partition_only(
    kafka: Kafka, tmp_path: Path
) -> None:
    names = {"bad-events": "cloudevents", "bad-log": "db", "bad-flood": "cloudevents"}
    made = ready(
        tmp_path,
        *(topic(name, source) for name, source in names.items()),
        DATABASE,
        group="bad-input",
        bootstrap_servers=kafka.bootstrap,
    )
    for name in names:
        kafka.create_topic(name)
    connection = Connection(bootstrap_servers=kafka.bootstrap)
    publish(connection, "bad-flood", [Outgoing(b"{")] * 1_500)
    for name, given in (("bad-events", MIXED_EVENTS), ("bad-log", MIXED_CHANGES)):
        publish(connection, name, [Outgoing(value, key=b"k") for value in given.values])
    wanted = {"acme": MIXED_EVENTS.individuals, "beta": MIXED_CHANGES.individuals}
    worker = made.start("worker")
    try:
        assert until(lambda: made.individuals() == wanted), made.said()
        assert until(lambda: "bad-flood-0 is stopped: TooManyRejects" in made.said()), made.said()
        # Beside a worker SQLite takes nobody else.
        another = ("another facetally worker or apply", "PostgreSQL")
        says(made.run("worker"), *another)
        good = made.write("good.ndjson", [event("late")])
        says(made.run("apply", good, "--source", "cloudevents"), *another)
        says(made.run("rejects", "replay"), *another)
    finally:
        worker.stop()

    assert rejected(made, "bad-events") == MIXED_EVENTS.rejects
    assert rejected(made, "bad-log") == MIXED_CHANGES.rejects
    assert made.individuals() == wanted
    kept = {one["topic"]: one["next_offset"] for one in made.json("positions")["positions"]}
    assert kept.get("bad-flood", 0) <= 1_000
    with sqlite3.connect(made.database) as connection_to_look:
        notices = connection_to_look.execute("SELECT kind, severity, body FROM notices").fetchall()
    connection_to_look.close()
    pages = [(kind, severity) for kind, severity, body in notices if "bad-flood/0" in body]
    assert pages == [("partition_stopped", "page")]
    made.good("verify")


# What keeps a command from its work.


def test_a_wrong_secret_is_refused(tmp_path: Path) -> None:
    made = ready(tmp_path)
    other = replace(made, secret="0f" * 32)

    for command in ("status", "duties", "verify", "worker", "db upgrade"):
        says(other.run(*command.split()), "hashed under another secret")
    says(other.program("status", seconds=BOUND), "hashed under another secret")


def stamp(made: Home, version: str | None) -> None:
    with sqlite3.connect(made.database) as connection:
        connection.execute("DELETE FROM alembic_version")
        if version is not None:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (version,))
    connection.close()


def test_a_database_of_a_newer_version_is_refused_by_every_command(tmp_path: Path) -> None:
    made = ready(tmp_path)
    stamp(made, "9999")

    for command in ("status", "worker", "db upgrade"):
        says(made.run(*command.split()), "at version 9999", "install the newer facetally")


def test_a_database_of_an_older_version_must_be_upgraded(tmp_path: Path) -> None:
    made = home(tmp_path)
    sqlite3.connect(made.database).close()
    made.database.touch()

    says(made.run("status"), "has no tables of facetally", "db upgrade")
    engine = open_engine(f"sqlite:///{made.database}")
    with pytest.raises(WrongDatabase, match="db upgrade"):
        check_version(engine)
    engine.dispose()
    made.good("db", "upgrade")
    made.good("status")


def test_a_database_that_is_missing_or_none_is_said(tmp_path: Path) -> None:
    made = home(tmp_path)
    says(made.run("status"), "there is no database at", "db upgrade")
    made.database.write_text("this is not a database " * 100)

    says(made.run("status"), "is no SQLite database")
    says(made.run("db", "upgrade"), "is no SQLite database")


@pytest.mark.parametrize("command", ["worker", "up"])
def test_an_unreachable_kafka_is_said_in_bounded_time(tmp_path: Path, command: str) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    made = ready(tmp_path, topic("t"), bootstrap_servers=nowhere, start_patience_seconds=1)
    answer = made.program(*command.split(), seconds=BOUND)

    assert answer.code == MISUSE, answer
    assert "Traceback" not in answer.err
    said = [line for line in answer.err.splitlines() if line.startswith("facetally: ")]
    assert len(said) == 1
    assert f"Kafka at {nowhere} did not answer within 1 s" in said[0]


def test_publishing_and_replaying_without_kafka_is_said(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    made = home(tmp_path, bootstrap_servers=nowhere, start_patience_seconds=1)
    file = made.write("events.ndjson", [event()])

    says(made.run("publish", "--topic", "t", file), f"Kafka at {nowhere} did not answer")
    made.good("db", "upgrade")
    says(made.run("rejects", "replay"), f"Kafka at {nowhere} did not answer within 1 s")


def test_an_unreachable_postgres_is_said_without_the_password(tmp_path: Path) -> None:
    port = free_port()
    url = f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:{port}/db?password={PASSWORD}"
    made = home(tmp_path, topic("t"), database_url=url)

    for command in ("status", "worker", "db upgrade", "alerts", "up"):
        says(made.run(*command.split()), f"127.0.0.1:{port}/db does not answer", "is it running")
    says(made.program("status", seconds=BOUND), "does not answer")


def test_a_database_that_goes_wrong_later_is_said_without_what_it_was_told(tmp_path: Path) -> None:
    made = ready(tmp_path)
    file = made.write("events.ndjson", [event()])
    with sqlite3.connect(made.database) as connection:
        connection.execute("DROP TABLE book")
    connection.close()

    says(made.run("apply", file, "--source", "cloudevents"), "cannot be used (OperationalError)")


def test_broken_toml_is_said_with_its_line(tmp_path: Path) -> None:
    made = home(tmp_path)
    made.settings.write_text('group = "x"\ndatabase_url = oops\n')

    for command in ("status", "config check", "worker"):
        says(made.run(*command.split()), "this is not TOML", "line 2")
    says(made.program("status", seconds=BOUND), "line 2")
