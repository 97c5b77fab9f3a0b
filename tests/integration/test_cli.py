from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli.main import cli
from tests.conftest import REPOSITORY
from tests.homes import Answer, Home, event, home, ready, topic
from tests.services.kafka import Kafka
from tests.services.process import Owned, listening
from tests.workers import recreate, send, until

EXAMPLES = sorted((REPOSITORY / "deploy" / "examples").glob("*.toml"))
EVENTS = [event("ann"), event("bob"), event("bob"), event("cy", processor="beta")]
MISUSE = 2

# LAW.md, "Counting working days": trigger, n, last day.
LAW = (
    ("2025-06-01", "30", "2025-07-14"),
    ("2025-07-18", "30", "2025-08-29"),
    ("2025-06-03", "30", "2025-07-15"),
    ("2025-09-26", "10", "2025-10-16"),
    ("2025-09-26", "15", "2025-10-23"),
    ("2025-09-26", "30", "2025-11-13"),
    ("2026-01-15", "10", "2026-01-29"),
    ("2026-01-15", "15", "2026-02-05"),
    ("2026-01-15", "30", "2026-03-04"),
    ("2026-09-01", "10", "2026-09-15"),
    ("2026-09-01", "15", "2026-09-21"),
    ("2026-09-01", "30", "2026-10-19"),
    ("2026-11-19", "30", "2026-12-31"),
)


def bare(path: Path) -> Home:
    """A folder without settings."""
    return Home(path)


def refused(answer: Answer, *named: str) -> str:
    """Return the one line in which *answer* says what is wrong."""
    assert answer.code == MISUSE, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    line = answer.err.strip().splitlines()[-1]
    assert all(part in line for part in named), line
    return line


ONCE = (
    "warning: no escalation takes pages: each channel is told a page once, and never again if "
    'nobody sees it; add [[escalations]] and [[routes]] with severities = ["page"] that name it\n'
)

# Settings and database.


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_passes_the_check(tmp_path: Path, example: Path) -> None:
    made = home(tmp_path)
    made.settings.write_text(example.read_text())
    answer = made.good("config", "check")

    assert answer.out.startswith(f"{made.settings}: good\n")
    assert f"source {example.stem}" in answer.out
    assert "rule frt.file: Order No. 19" in answer.out


def test_settings_that_tell_nobody_or_that_anybody_reads_are_warned_of(tmp_path: Path) -> None:
    made = home(tmp_path)
    alone = made.good("config", "check").err
    made.settings.write_text(
        '[[channels]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
        '[acknowledge]\naddress = "127.0.0.1:1"\n'
        'secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'
    )
    made.settings.chmod(0o644)
    open_to_all = made.good("config", "check").err
    made.settings.chmod(0o600)

    assert alone == "warning: no [[channels]] reaches anybody: duties are told to the log alone\n"
    assert open_to_all == (
        f"warning: {made.settings.name} holds a secret, and anybody on this machine may read it: "
        f"chmod 600\n{ONCE}"
    )
    assert made.good("config", "check").err == ONCE


@pytest.mark.parametrize(("severities", "said"), [("page", ""), ("warning", ONCE)])
def test_pages_that_no_escalation_takes_are_warned_of(
    tmp_path: Path, severities: str, said: str
) -> None:
    made = home(tmp_path)
    made.settings.write_text(
        '[[channels]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
        '[[escalations]]\nname = "all"\nsteps = [{ after = "0m", channels = ["alertmanager"] }]\n'
        f'[[routes]]\nseverities = ["{severities}"]\nescalation = "all"\n'
        'channels = ["alertmanager"]\n'
    )

    assert made.good("config", "check").err == said


def test_a_dead_mans_receiver_alone_needs_no_escalation(tmp_path: Path) -> None:
    made = home(tmp_path)
    made.settings.write_text(
        '[[channels]]\nkind = "webhook"\nname = "pager"\nurl = "https://pager.example/hook"\n'
        'secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'
        "[deadman]\n"
    )

    assert ONCE not in made.good("config", "check").err


@pytest.mark.parametrize(("repeat", "warnings"), [("1m", 1), ("299s", 1), ("5m", 0), ("1h", 0)])
def test_a_repeat_that_is_faster_than_anybody_answers_is_warned_of_and_taken(
    tmp_path: Path, repeat: str, warnings: int
) -> None:
    made = home(tmp_path)
    made.settings.write_text(
        '[[channels]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
        '[[people]]\nname = "ann"\nchannels = ["alertmanager"]\n'
        '[[escalations]]\nname = "duties"\nsteps = [{ after = "0m", people = ["ann"] }]\n'
        f'repeat = "{repeat}"\n'
        '[[routes]]\nseverities = ["page"]\nchannels = ["alertmanager"]\n'
        'escalation = "duties"\n'
    )
    said = made.good("config", "check").err

    assert said.count("warning: ") == warnings
    assert said.count("warning: escalations duties: repeat is under 5m") == warnings
    assert said.count('set repeat = "15m" or more') == warnings


def test_a_secret_of_acknowledgements_that_is_not_here_is_refused_by_the_check(
    tmp_path: Path,
) -> None:
    made = ready(tmp_path, '[acknowledge]\naddress = "127.0.0.1:1"\nsecret_file = "no"\n')
    refused = made.run("config", "check")

    assert refused.code == 2
    assert "acknowledge.secret_file: cannot be read" in refused.err
    assert made.good("duties")


def test_the_settings_may_be_named_before_and_after_the_command(tmp_path: Path) -> None:
    made = home(tmp_path / "a", topic("of-a"))
    other = home(tmp_path / "b", topic("of-b"))

    assert "of-a" in made.good("config", "check").out
    assert "of-b" in made.good("config", "check", "--config", other.settings).out


def test_without_settings_the_command_says_where_to_begin(tmp_path: Path) -> None:
    refused(bare(tmp_path).program("status"), "cannot read the settings facetally.toml")


def test_the_database_can_be_upgraded_again_and_again(tmp_path: Path) -> None:
    made = ready(tmp_path)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    again = made.good("db", "upgrade")

    assert again.out.startswith("database at version")
    assert made.individuals() == {"acme": 2, "beta": 1}


def test_the_first_upgrade_makes_a_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    made = replace(home(tmp_path, secret_file="deep/own.secret"), secret=None)
    said = made.good("db", "upgrade").out
    file = tmp_path / "deep" / "own.secret"
    secret = file.read_text().strip()

    assert file.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(secret)) == 32
    assert secret not in said
    made.good("db", "upgrade")
    assert file.read_text().strip() == secret


def test_a_lost_secret_is_never_made_again_for_a_database_that_had_one(tmp_path: Path) -> None:
    made = replace(home(tmp_path), secret=None)
    made.good("db", "upgrade")
    (tmp_path / "facetally.secret").unlink()

    refused(made.run("db", "upgrade"), "no new one is made")
    refused(made.run("status"), "there is no secret")
    assert not (tmp_path / "facetally.secret").exists()


def test_a_secret_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    made = replace(home(tmp_path), secret=None)
    (tmp_path / "facetally.secret").mkdir()

    refused(made.run("db", "upgrade"), "facetally.secret cannot be read")


def test_a_secret_of_the_wrong_form_is_not_quoted(tmp_path: Path) -> None:
    made = ready(tmp_path)
    line = refused(made.run("status", env={"FACETALLY_SECRET": "abc123"}), "64 hexadecimal")

    assert "abc123" not in line


def test_an_answer_is_given_while_somebody_else_is_writing(tmp_path: Path) -> None:
    made = ready(tmp_path)
    made.good("status")
    writer = sqlite3.connect(made.database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    made.good("status", "--json")
    writer.close()

    assert time.monotonic() - started < 5


# Commands without Kafka.


@pytest.mark.parametrize(("day", "count", "last"), LAW)
def test_working_days_answers_the_vectors_of_the_law(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: str, count: str, last: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = without_settings("working-days", day, count, "--json")

    assert answer.code == 0
    assert answer.json()["due_day"] == last


def test_working_days_counts_the_trigger_day_only_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = without_settings("working-days", "2025-07-18", "30", "--count-trigger-day")

    assert answer.out == "2025-08-28\n"


def without_settings(*words: str) -> Answer:
    result = CliRunner().invoke(cli, words)
    return Answer(result.exit_code, result.stdout, result.stderr)


def test_working_days_uses_the_calendars_of_the_settings_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = REPOSITORY / "monitor" / "calendars" / "2026.toml"
    (tmp_path / "calendars").mkdir()
    changed = shipped.read_text().replace("2026", "2027")
    home(tmp_path, calendar_dir="calendars")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calendars" / "2027.toml").write_text(changed)
    answer = without_settings("working-days", "2026-11-22", "30")

    # Whether this made-up year can be right is for the calendars to say, but it was looked at.
    assert answer.code == MISUSE, answer
    assert "2027.toml" in answer.err


@pytest.mark.parametrize("words", [("2026-11-19", "0"), ("2026-11-19", "x"), ("2026-11-19",)])
def test_working_days_refuses_what_cannot_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    refused(without_settings("working-days", *words))


@pytest.mark.parametrize("words", [(), ("--nonsense",), ("nonsense",), ("status", "--nonsense")])
def test_misuse_exits_2(tmp_path: Path, words: Sequence[str]) -> None:
    assert ready(tmp_path).run(*words).code == MISUSE


def test_verify_exits_1_if_a_number_is_wrong(tmp_path: Path) -> None:
    made = ready(tmp_path)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    made.good("verify")
    with sqlite3.connect(made.database) as connection:
        connection.execute("UPDATE stock SET individuals = individuals + 1")
    connection.close()
    answer = made.run("verify", "--json")

    assert answer.code == 1
    assert not answer.json()["holds"]


def test_apply_refuses_a_source_that_is_not_configured(tmp_path: Path) -> None:
    made = ready(tmp_path)
    file = made.write("events.ndjson", EVENTS)

    refused(made.run("apply", file, "--source", "x"), "no source 'x'", "cloudevents")


def test_a_packed_file_that_breaks_off_is_said_and_what_was_before_counts(tmp_path: Path) -> None:
    made = ready(tmp_path)
    packed = gzip.compress("\n".join(EVENTS).encode() + b"\n" + os.urandom(4096))
    file = tmp_path / "events.ndjson.gz"
    file.write_bytes(packed[:-1000])

    refused(made.run("apply", file, "--source", "cloudevents"), "breaks off after")
    assert made.individuals() == {"acme": 2, "beta": 1}


@pytest.mark.parametrize("at_once", [1, 20_000])
def test_a_change_log_that_goes_back_is_said_with_what_to_do(tmp_path: Path, at_once: int) -> None:
    settings = f"max_batch_records = {at_once}\n{DATABASE.format(subject='person')}"
    made = ready(tmp_path, settings)
    file = made.write("log.ndjson", [change("1", lsn=900, age=600), change("2", lsn=5, age=10)])

    refused(made.run("apply", file, "--source", "db"), "goes backwards", "raise epoch")


def test_explain_reads_the_id_from_standard_input_and_never_shows_it(tmp_path: Path) -> None:
    made = ready(tmp_path)
    file = made.write("events.ndjson", [event("canary-ann-77")])
    made.good("apply", file, "--source", "cloudevents")
    answer = made.run("explain", "--processor", "acme", "-", given=b"canary-ann-77\n")
    as_json = made.run("explain", "--processor", "acme", "-", "--json", given=b"canary-ann-77\r\n")

    assert "counted: yes" in answer.out
    assert as_json.json()["counted"]
    assert "canary" not in answer.out + answer.err + as_json.out


@pytest.mark.parametrize(
    "given", [b"", b"\n", b"canary\xff\n", b"canary\x00\n", b"canary" * 200], ids=repr
)
def test_what_cannot_be_an_id_is_refused_without_showing_it(tmp_path: Path, given: bytes) -> None:
    made = ready(tmp_path)
    line = refused(made.run("explain", "--processor", "acme", "-", given=given), "cannot be an id")

    assert "canary" not in line


def test_an_argument_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    made = ready(tmp_path)
    word = os.fsdecode(b"canary\xff")
    answer = made.program("explain", "--processor", "acme", word)

    assert "canary" not in refused(answer, "cannot be an id")


def test_an_unknown_subject_is_not_counted(tmp_path: Path) -> None:
    answer = ready(tmp_path).good("explain", "--processor", "acme", "nobody")

    assert "counted: no" in answer.out


# With Kafka.

DATABASE = """
[sources.db]
adapter = "debezium"
[[sources.db.tables]]
table = "public.face"
face = "id"
subject = "{subject}"
processor = "acme"
system = "gate"
"""


def change(person: str, *, lsn: int, age: float = 60) -> str:
    """Return a change record of Debezium, *age* seconds old, for a new row of `public.face`."""
    at = int((time.time() - age) * 1000)
    source = {
        "connector": "postgresql",
        "name": "test",
        "schema": "public",
        "table": "face",
        "snapshot": "false",
        "sequence": json.dumps([str(lsn), str(lsn)]),
        "lsn": lsn,
        "ts_ms": at,
    }
    after = {"id": f"face-{person}", "person": f"person-{person}"}
    return json.dumps({"before": None, "after": after, "source": source, "op": "c", "ts_ms": at})


@contextmanager
def running(made: Home, *words: str) -> Iterator[Owned]:
    process = made.start(*words)
    try:
        yield process
    finally:
        process.stop()


def read_until(made: Home, offsets: int) -> None:
    """Run a worker until so many offsets are stored."""
    with running(made, "worker") as worker:

        def stored() -> int:
            found = made.json("positions")["positions"]
            return sum(int(one["next_offset"]) for one in found)

        assert until(lambda: not worker.alive() or stored() >= offsets), made.said()


def test_recorded_records_are_published_to_the_topics_that_they_name(
    kafka: Kafka, tmp_path: Path
) -> None:
    names = ("cli-left", "cli-right")
    made = ready(tmp_path, *map(topic, names), group="cli-b", bootstrap_servers=kafka.bootstrap)
    for name in names:
        kafka.create_topic(name)
    lines = [
        json.dumps(
            {
                "topic": names[number % 2],
                "partition": 0,
                "offset": number,
                "timestamp": 1_795_000_000_000,
                "key": base64.b64encode(b"k").decode(),
                "value": base64.b64encode(event(f"s{number}").encode()).decode(),
            }
        )
        for number in range(10)
    ]
    made.good("publish", made.write("recorded.ndjson", lines))
    read_until(made, 10)

    assert made.individuals() == {"acme": 10}
    assert [one["next_offset"] for one in made.json("positions")["positions"]] == [5, 5]


def test_publishing_to_a_topic_that_is_not_there_says_so(kafka: Kafka, tmp_path: Path) -> None:
    made = home(tmp_path, bootstrap_servers=kafka.bootstrap)
    answer = made.run("publish", "--topic", "cli-nowhere", made.write("e.ndjson", EVENTS))

    refused(answer, "there is no topic 'cli-nowhere'")


def test_publishing_stops_at_a_line_that_is_no_record(kafka: Kafka, tmp_path: Path) -> None:
    made = home(tmp_path, bootstrap_servers=kafka.bootstrap)
    kafka.create_topic("cli-lines")
    file = made.write("events.ndjson", [EVENTS[0], "canary, not JSON", EVENTS[1]])
    line = refused(made.run("publish", "--topic", "cli-lines", file), "events.ndjson, line 2")

    assert "canary" not in line


def test_rejects_are_kept_after_the_settings_are_mended_and_stay_rejected_before(
    kafka: Kafka, tmp_path: Path
) -> None:
    name = "cli-rejects"
    parts = (topic(name, "db"), DATABASE.format(subject="persn"))
    made = ready(tmp_path, *parts, group="cli-c", bootstrap_servers=kafka.bootstrap)
    kafka.create_topic(name)
    send(kafka, name, [change("1", lsn=5), "{broken", change("2", lsn=6), change("3", lsn=7)])
    read_until(made, 4)

    def rejected() -> list[tuple[int, str]]:
        return [(r["offset"], r["reason"]) for r in made.json("rejects", "list")["rejects"]]

    absent = "column_absent"
    assert rejected() == [(0, absent), (1, "not_json"), (2, absent), (3, absent)]
    assert made.individuals() == {}
    assert made.json("rejects", "replay") == {"replayed": 0, "still_rejected": 4, "gone": 0}

    made.settings.write_text(made.settings.read_text().replace("persn", "person"))
    assert made.json("rejects", "replay") == {"replayed": 3, "still_rejected": 1, "gone": 0}
    assert made.individuals() == {"acme": 3}
    assert rejected() == [(1, "not_json")]
    assert made.json("status")["rejected"] == {"total": 1, "by_reason": {"not_json": 1}}
    assert made.json("rejects", "replay") == {"replayed": 0, "still_rejected": 1, "gone": 0}
    made.good("verify")

    recreate(kafka, name)
    send(kafka, name, [change("9", lsn=9)] * 2)
    assert made.json("rejects", "replay") == {"replayed": 0, "still_rejected": 0, "gone": 1}
    assert made.individuals() == {"acme": 3}
    assert "1/0" not in made.good("rejects", "list", "--limit", "1").out


def test_two_files_of_one_name_do_not_lose_each_others_rejects(tmp_path: Path) -> None:
    made = ready(tmp_path)
    for folder in ("d1", "d2", "d1"):
        (tmp_path / folder).mkdir(exist_ok=True)
        made.good(
            "apply", made.write(f"{folder}/bad.ndjson", ["x", *EVENTS]), "--source", "cloudevents"
        )

    assert made.json("status")["rejected"] == {"total": 2, "by_reason": {"bad_record": 2}}


def test_rejects_of_files_are_listed_but_not_replayed(kafka: Kafka, tmp_path: Path) -> None:
    made = ready(tmp_path, bootstrap_servers=kafka.bootstrap)
    made.good("apply", made.write("bad.ndjson", ["x", *EVENTS]), "--source", "cloudevents")

    assert "bad.ndjson/0 0: bad_record" in made.good("rejects", "list").out
    assert made.json("rejects", "replay") == {"replayed": 0, "still_rejected": 0, "gone": 0}


def test_a_worker_without_topics_has_nothing_to_read(tmp_path: Path) -> None:
    made = ready(tmp_path)

    refused(made.run("worker"), "there is no [[topics]]")
    refused(made.run("up"), "there is no [[topics]]")


def test_a_metrics_address_that_is_taken_is_said(kafka: Kafka, tmp_path: Path) -> None:
    taken = f"127.0.0.1:{kafka.port}"
    made = ready(tmp_path, topic("cli-x"), metrics_address=taken)

    refused(made.run("worker"), f"metrics_address: {taken} cannot be taken", "port 0")


# All at once.


def children(process: Owned) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in listed.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def all_up(kafka: Kafka, path: Path, name: str) -> Iterator[tuple[Home, Owned]]:
    kafka.create_topic(name)
    made = ready(path, topic(name), group=name, bootstrap_servers=kafka.bootstrap)
    with running(made, "up") as process:
        both = ("partitions are assigned", "sending to log")
        assert until(lambda: all(part in made.said() for part in both)), made.said()
        yield made, process


def ports(made: Home) -> list[int]:
    lines = [line for line in made.said().splitlines() if "metrics on" in line]
    return [int(line.rpartition(":")[2].partition("/")[0]) for line in lines]


def test_up_runs_both_until_sigterm_and_then_ends_both(kafka: Kafka, tmp_path: Path) -> None:
    with all_up(kafka, tmp_path, "cli-up") as (made, process):
        file = made.write("events.ndjson", EVENTS)
        said = made.good("publish", "--topic", "cli-up", "--codec", "zstd", file).out
        started = children(process)

        assert said == "4 records published\n"
        assert len(started) == 2
        assert until(lambda: made.individuals() == {"acme": 2, "beta": 1})
        (position,) = made.json("positions")["positions"]
        assert (position["topic"], position["partition"]) == ("cli-up", 0)
        assert (position["next_offset"], position["passed"]) == (4, "2026-03-02T08:00:00Z")
        assert "cli-up" in made.good("positions").out
        assert [listening(port) for port in ports(made)] == [True, True]
        os.kill(process.pid, signal.SIGTERM)
        assert until(lambda: not process.alive())
        assert not any(map(alive, started))
        assert process.code() == 0


@pytest.mark.parametrize("which", [0, 1])
def test_if_one_of_them_dies_both_end_and_the_exit_code_says_so(
    kafka: Kafka, tmp_path: Path, which: int
) -> None:
    with all_up(kafka, tmp_path, f"cli-dies-{which}") as (made, process):
        started = children(process)
        os.kill(started[which], signal.SIGKILL)

        assert until(lambda: not process.alive())
        assert not any(map(alive, started))
        assert process.code() == 1
        assert "ended by itself" in made.said()
