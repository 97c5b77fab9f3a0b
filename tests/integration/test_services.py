"""Each real part really starts, and does one real thing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from kafka import KafkaConsumer, KafkaProducer
from sqlalchemy import create_engine, text

from tests.services import kafka as kafkas
from tests.services import postgres as postgreses
from tests.services.alertmanager import Alertmanager
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.presence import require
from tests.services.process import listening
from tests.services.prometheus import Promtool

OLD = datetime(2001, 1, 1, tzinfo=UTC)


def fresh(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def publish(broker: Kafka, topic: str, value: bytes, codec: str | None = None) -> None:
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=codec, max_request_size=8_000_000
    )
    try:
        sent = producer.send(topic, value, timestamp_ms=int(OLD.timestamp() * 1000))
        sent.get(timeout=20)
    finally:
        producer.close()


def read(broker: Kafka, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=3000,
        max_partition_fetch_bytes=8_000_000,
    )
    try:
        return [next(consumer).value]
    finally:
        consumer.close()


@pytest.fixture
def topic(kafka: Kafka) -> str:
    name = fresh("services")
    kafka.create_topic(name, config={"retention.ms": "-1"})
    return name


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_a_record_goes_through_kafka_with_each_codec(
    kafka: Kafka, topic: str, codec: str | None
) -> None:
    value = b"a record " * 100
    publish(kafka, topic, value, codec)

    assert read(kafka, topic) == [value]


def test_a_record_of_five_megabytes_passes_the_broker(kafka: Kafka, topic: str) -> None:
    value = os.urandom(5_000_000)
    publish(kafka, topic, value)

    assert read(kafka, topic) == [value]


def test_a_topic_has_as_many_partitions_as_asked_for(kafka: Kafka) -> None:
    name = fresh("partitions")
    kafka.create_topic(name, 3)
    admin = kafka.admin()
    try:
        described = admin.describe_topics([name])
    finally:
        admin.close()

    assert [len(topic["partitions"]) for topic in described] == [3]


@pytest.fixture
def broker_of_its_own() -> Iterator[Kafka]:
    """A second broker, which a test may stop under nobody's feet."""
    require(kafkas.available())
    broker = Kafka(heap="512m")
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def test_a_broker_that_was_killed_and_stopped_still_has_its_records(
    broker_of_its_own: Kafka,
) -> None:
    broker_of_its_own.create_topic("kept")
    publish(broker_of_its_own, "kept", b"before")
    broker_of_its_own.kill()
    broker_of_its_own.start()
    broker_of_its_own.stop()
    stopped = not listening(broker_of_its_own.port)
    broker_of_its_own.start()

    assert stopped
    assert read(broker_of_its_own, "kept") == [b"before"]


def test_a_table_is_made_in_postgresql(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE one (n integer)"))
        connection.execute(text("INSERT INTO one VALUES (7)"))
    with engine.connect() as connection:
        kept = connection.scalars(text("SELECT n FROM one")).all()
    engine.dispose()

    assert kept == [7]


def test_each_database_is_empty(postgres: Postgres) -> None:
    tables = []
    for url in (postgres.database(), postgres.database()):
        engine = create_engine(url)
        with engine.begin() as connection:
            found = text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            tables.append(connection.scalar(found))
            connection.execute(text("CREATE TABLE one (n integer)"))
        engine.dispose()

    assert tables == [0, 0]


def test_a_server_that_was_killed_still_has_its_tables() -> None:
    require(postgreses.available())
    cluster = Postgres()
    try:
        cluster.start()
        engine = create_engine(cluster.database())
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE one AS SELECT 7 AS n"))
        cluster.kill()
        cluster.start()
        engine.dispose()
        with engine.connect() as connection:
            kept = connection.scalars(text("SELECT n FROM one")).all()
        engine.dispose()
    finally:
        cluster.close()

    assert kept == [7]


def test_amtool_lists_an_alert_that_was_posted(alertmanager: Alertmanager) -> None:
    name = fresh("Posted")
    ends = datetime.now(UTC) + timedelta(minutes=5)
    alert = {"labels": {"alertname": name}, "endsAt": ends.isoformat()}
    posted = httpx.post(f"{alertmanager.url}/api/v2/alerts", json=[alert], trust_env=False)

    assert posted.status_code == 200
    assert [listed["labels"] for listed in alertmanager.alerts(f"alertname={name}")] == [
        {"alertname": name}
    ]


def test_promtool_passes_good_metrics_and_complains_of_bad_ones(promtool: Promtool) -> None:
    good = "# HELP facetally_individuals Stored now.\n# TYPE facetally_individuals gauge\n"
    sample = "facetally_individuals 3\n"

    assert promtool.check_metrics(good + sample) == ""
    assert "no help text" in promtool.check_metrics(sample)


def test_recordings_are_there_with_their_truth(recordings: Path) -> None:
    streams = {path.name.partition(".")[0] for path in recordings.glob("*.jsonl.zst")}

    assert {"compreface-default", "compreface-full", "own-gallery", "threshold"} <= streams
    assert (recordings / "threshold.truth.json").is_file()


STARTED_AND_LEFT = """
import os, signal, sys
from pathlib import Path
from tests.services.guardian import guardian
from tests.services.process import Owned

home = guardian().directory("orphan")
child = Owned([sys.executable, "-c", "import time; time.sleep(300)"], log=Path(sys.argv[1]))
print(child.pid, home, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_session_that_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", STARTED_AND_LEFT, str(log)]
    session = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    child, home = session.stdout.split()
    deadline = time.monotonic() + 10
    while (running(child) or Path(home).exists()) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert session.returncode == -signal.SIGKILL
    assert not running(child)
    assert not Path(home).exists()


def running(pid: str) -> bool:
    """Whether a process is there and no mere zombie that nobody has collected."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
