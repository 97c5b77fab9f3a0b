"""No text of a record and no secret is found in a database, a log, an output, a metric, a message.

The records carry canaries: texts that occur nowhere else, in every field that can hold one, and in
keys and headers. They are looked for in every encoding that something might have put them into.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest

from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.homes import Home, event, home, topic
from tests.receiver import Answer, Receiver, receiving
from tests.services.kafka import Kafka
from tests.services.process import Owned
from tests.workers import until

KEY = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
SECRET = secrets.token_hex(32)

_made: list[str] = []


@pytest.fixture(autouse=True)
def _none_yet() -> None:
    _made.clear()


def canary(what: str) -> str:
    """Return a text that holds *what* it stands for, and occurs nowhere else."""
    _made.append(f"canary{what}{secrets.token_hex(6)}")
    return _made[-1]


def settings(url: str, names: Sequence[str]) -> list[str]:
    return [
        *(topic(name, source) for name, source in zip(names, ("cloudevents", "db"), strict=True)),
        '[sources.db]\nadapter = "debezium"\n',
        '[[sources.db.tables]]\ntable = "public.face"\nface = "id"\nsubject = "person"',
        'processor = "beta"\nsystem = "gate"\n',
        '[[rules]]\nid = "frt.file"\nat_least = 2\n',
        f'[[channels]]\nkind = "webhook"\nurl = "{url}"\nsecret = "{KEY}"\n',
        '[[channels]]\nkind = "log"\n',
    ]


def change(person: str, *, op: str = "c", lsn: int = 5, **more: object) -> bytes:
    at = int((time.time() - 60) * 1000)
    row = {
        "id": canary("face"),
        "person": person,
        "name": canary("name"),
        "image": canary("image"),
        "template": canary("template"),
        **more,
    }
    source = {
        "connector": "postgresql",
        "name": "test",
        "schema": "public",
        "table": "face",
        "snapshot": "false",
        "lsn": lsn,
        "ts_ms": at,
    }
    before = {**row, "name": canary("before")} if op != "c" else None
    return json.dumps({"before": before, "after": row, "source": source, "op": op}).encode()


def said(*words: object, **data: object) -> bytes:
    return event(*words, **data).encode()  # type: ignore[arg-type]  # all kinds of events at once


def events() -> list[bytes]:
    """Return good events and bad ones, with canaries in all that they carry."""
    return [
        said(canary("subject"), face=canary("face"), name=canary("name"), note=canary("note")),
        said(canary("subject")),
        said(canary("linked"), kind="subject.linked", individual=canary("individual")),
        said(None, kind="processor.terminated", system=None, reason=canary("reason")),
        said(
            None,
            kind="registration.changed",
            system=None,
            changed=["purpose", canary("changed") + " is a sentence"],
            description=canary("description"),
        ),
        said(canary("subject"), image=canary("image")),
        said(canary("subject"), embedding=[canary("vector")] * 40),
        said(canary("subject"), kind="face." + canary("type")),
        said(canary("subject"), time=canary("time")),
        said(canary("subject") + "\x00"),
        said(canary("subject") + "\ud800"),
        said(canary("subject") * 300),
        said(canary("subject"), processor=canary("processor") + "\x07"),
        said(canary("subject"), attributes={"sequence": canary("sequence")}),
        b"{" + canary("broken").encode(),
        b'"' + canary("text").encode() + b'"',
        canary("utf16").encode("utf-16"),
    ]


def changes() -> list[bytes]:
    return [
        change(canary("person")),
        change(canary("person"), op="u", lsn=6),
        change(canary("person") + "\x00", lsn=7),
        change(canary("person") * 300, lsn=8),
        change(canary("person"), op=canary("op"), lsn=9),
        b'{"payload": {"op": "' + canary("payload").encode() + b'"}}',
    ]


def outgoing(values: Iterable[bytes]) -> list[Outgoing]:
    return [
        Outgoing(
            value,
            key=json.dumps({"id": canary("key")}).encode(),
            headers=((canary("header"), b"x"), ("trace", canary("held").encode())),
        )
        for value in values
    ]


def lines(name: str, records: Sequence[Outgoing]) -> list[str]:
    """Return *records* as a file has them."""

    def packed(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(data).decode()

    return [
        json.dumps(
            {
                "topic": name,
                "partition": 0,
                "offset": offset,
                "timestamp": int(time.time() * 1000),
                "key": packed(record.key),
                "value": packed(record.value),
                "headers": [[key, packed(held)] for key, held in record.headers],
            }
        )
        for offset, record in enumerate(records)
    ]


# The search.


def forms(text: str) -> Iterator[bytes]:
    """Yield *text* in each encoding in which it could have been written down."""
    plain = text.encode()
    yield plain
    yield text.upper().encode()
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")
    for data in (plain, text.encode("utf-16-le")):
        yield data.hex().encode()
        yield data.hex().upper().encode()
        for shift in range(3):  # base64 has three, by where in its triples the text begins
            whole = base64.b64encode(b"\0" * shift + data)
            inner = whole[4 if shift else 0 : len(whole) // 4 * 4 - 4]
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def found_in(data: bytes, texts: Iterable[str]) -> set[str]:
    return {text for text in texts if any(form in data for form in forms(text))}


def secret_found_in(data: bytes) -> bool:
    raw = bytes.fromhex(SECRET)
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    needles = [form for one in (SECRET, KEY) for form in forms(one)]
    needles += [raw, base64.b64encode(raw)[:40], key, key.hex().encode()]
    return any(needle in data for needle in needles)


@pytest.mark.parametrize(
    "hidden",
    [
        lambda data: data,
        lambda data: data.decode().encode("utf-16-le"),
        lambda data: data.hex().encode(),
        lambda data: base64.b64encode(b"x" + data + b"yz"),
        lambda data: base64.b64encode(b"xy" + data + b"z"),
        lambda data: base64.b64encode(b"xyz" + data),
    ],
    ids=["plain", "utf16", "hex", "base64-1", "base64-2", "base64-0"],
)
def test_the_search_finds_what_is_hidden(hidden: object) -> None:
    assert callable(hidden)
    text = "canarysomething" + secrets.token_hex(6)

    assert found_in(b"before " + hidden(f"a {text} b".encode()) + b" after", [text]) == {text}
    assert found_in(hidden(b"a canarysomethingelse b"), [text]) == set()
    assert secret_found_in(hidden(SECRET.encode()))


# The runs.


class Evidence:
    """Everything that left a run, by where it was."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}

    def add(self, where: str, what: bytes | str) -> None:
        data = what.encode() if isinstance(what, str) else what
        self.parts[where] = self.parts.get(where, b"") + data

    def clean(self) -> None:
        """See that nothing of a record and no secret is anywhere in it, and that it is there."""
        leaks = {
            where: found for where, data in self.parts.items() if (found := found_in(data, _made))
        }
        told = {where for where, data in self.parts.items() if secret_found_in(data)}

        assert leaks == {}
        assert told == set()
        assert all(self.parts.values()), {where: len(data) for where, data in self.parts.items()}


def metrics(made: Home) -> bytes:
    """Return what the processes that have started serve."""
    shown = [line for line in made.said().splitlines() if "metrics on" in line]
    urls = [line.rpartition(" ")[2] for line in shown]
    return b"\n".join(httpx.get(url, trust_env=False).content for url in urls)


def reads(made: Home, evidence: Evidence) -> None:
    """Run every reading command, in both forms."""
    subject = _made[0]
    asked = ("explain", "--processor", "acme", "-")
    evidence.add("explain", made.run(*asked, given=subject.encode()).out)
    for command in ("status", "duties", "positions", "rejects list", "verify"):
        for more in ([], ["--json"]):
            answer = made.run(*command.split(), *more)
            assert answer.code == 0, answer
            evidence.add(command, answer.out + answer.err)


@contextmanager
def broken(made: Home, url: str | None) -> Iterator[None]:
    """Take a table away, so that whatever is kept meanwhile fails."""

    def execute(statement: str) -> None:
        if url is None:
            connection = sqlite3.connect(made.database, timeout=20)
            with connection:
                connection.execute(statement)
            connection.close()
        else:
            address = url.replace("postgresql+psycopg://", "postgresql://")
            with psycopg.connect(address, autocommit=True) as server:
                server.execute(statement.encode())

    execute("ALTER TABLE subjects RENAME TO subjects_away")
    try:
        yield
    finally:
        execute("ALTER TABLE subjects_away RENAME TO subjects")


def dump(made: Home, url: str | None) -> bytes:
    """Return all bytes of the database."""
    if url is None:
        files = sorted(made.path.glob("facetally.db*"))
        return b"".join(file.read_bytes() for file in files)
    program = shutil.which("pg_dump") or max(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    address = url.replace("postgresql+psycopg://", "postgresql://")
    done = subprocess.run([program, f"--dbname={address}"], check=True, capture_output=True)
    return done.stdout


def live(
    made: Home,
    kafka: Kafka,
    url: str | None,
    records: dict[str, list[Outgoing]],
    receiver: Receiver,
) -> None:
    """Run worker and alerts over the topics, while the database fails for a time."""
    for name, some in records.items():
        kafka.create_topic(name)
        publish(Connection(bootstrap_servers=kafka.bootstrap), name, some)
    processes: list[Owned] = []
    try:
        with broken(made, url):
            processes.append(made.start("-v", "worker"))
            assert until(lambda: "keeping failed" in made.said()), made.said()
        processes.append(made.start("-v", "alerts"))
        total = sum(map(len, records.values()))

        def offsets() -> int:
            return sum(one["next_offset"] for one in made.json("positions")["positions"])

        assert until(lambda: offsets() >= total), made.said()
        assert until(lambda: made.said().count("metrics on") > 1), made.said()
        assert until(lambda: "frt.cancel" in made.said()), made.said()
        assert until(lambda: any(b"frt.cancel" in r.body for r in receiver.requests)), made.said()
        (made.path / "metrics").write_bytes(metrics(made))
    finally:
        for process in processes:
            process.stop()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_nothing_of_a_record_and_no_secret_is_found_anywhere(
    kafka: Kafka, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url: str | None = request.getfixturevalue("postgres_url") if kind == "postgres" else None
    names = (f"canary-{kind}-events", f"canary-{kind}-log")
    evidence = Evidence()
    with receiving(Answer(500), Answer(200)) as receiver:
        keys = {"database_url": url} if url else {}
        parts = settings(receiver.url, names)
        made = replace(
            home(tmp_path, *parts, bootstrap_servers=kafka.bootstrap, group=names[0], **keys),
            secret=SECRET,
        )
        made.good("db", "upgrade")
        files = [
            made.write("events.jsonl", lines(names[0], outgoing(events()))),
            made.write("log.jsonl", lines(names[1], outgoing(changes()))),
        ]
        raw = b"".join(file.read_bytes() for file in files)
        assert found_in(raw, _made) == set(_made)

        # A program of its own shows more, and is slow to start: once is enough.
        run = made.run if url else made.program
        with broken(made, url):
            failed = run("-v", "apply", files[0], "--source", "cloudevents")
        assert failed.code == 2
        evidence.add("apply with an error", failed.out + failed.err)
        for file, source in zip(files, ("cloudevents", "db"), strict=True):
            answer = run("-v", "apply", file, "--source", source)
            assert answer.code == 0, answer
            evidence.add("apply", answer.out + answer.err)
        records = {names[0]: outgoing(events()), names[1]: outgoing(changes())}
        live(made, kafka, url, records, receiver)
        reads(made, evidence)
        evidence.add(
            "webhook", b"".join(r.body + repr(r.headers).encode() for r in receiver.requests)
        )

    evidence.add("log", made.said())
    evidence.add("metrics", (tmp_path / "metrics").read_bytes())
    evidence.add("database", dump(made, url))
    evidence.clean()
    assert b"facetally_" in evidence.parts["metrics"]
    assert b"beta" in evidence.parts["database"]
    assert b"frt.cancel" in evidence.parts["webhook"]
