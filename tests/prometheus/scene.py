"""What the watched processes are told by their settings, and what feeds them beside the faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Event, Thread
from typing import Final

from kafka import KafkaProducer

from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.homes import event
from tests.services.kafka import Kafka

PATIENCE: Final = 300.0  # a fault takes half a minute; a machine that is busy is not at fault
SIGNING: Final = "whsec_" + "QUJD" * 8
TOPICS: Final = ("watched-faces", "watched-quiet", "watched-bad", "watched-hung")
SETTINGS: Final = """\
bootstrap_servers = "{kafka}"
group = "watched"

[[rules]]
id = "frt.file"
at_least = {at_least}

[reject_limit]
rejects = 5
{topics}
"""
TELLING: Final = """\
[[channels]]
kind = "webhook"
url = "{receiver}/notices"
allow_private = true
secret = "{signing}"

[[channels]]
kind = "webhook"
name = "refused"
url = "{receiver}/refused"
allow_private = true
secret = "{signing}"

[[channels]]
kind = "alertmanager"
name = "lost"
url = "{receiver}/lost"
every_s = 4
life_s = 60

[[channels]]
kind = "alertmanager"
name = "shown"
url = "{receiver}/shown"
every_s = 4
life_s = 60

[[people]]
name = "ann"
channels = ["refused"]

[[escalations]]
name = "duties"
steps = [{{ after = "0m", people = ["ann"] }}]

[[routes]]
severities = ["page"]
channels = ["webhook", "lost", "shown"]
escalation = "duties"
"""
FEEDING: Final = {
    "watched-faces": "",
    "watched-quiet": 'processors = ["beta"]\nsilent_after_hours = 0.003',
    "watched-bad": 'processors = ["epsilon"]',
    "watched-hung": 'processors = ["delta"]',
    "watched-never-made": 'processors = ["gamma"]',
}


@contextlib.contextmanager
def open_transaction(kafka: Kafka, topic: str, events: list[str]) -> Iterator[None]:
    """Write *events* in a transaction that ends with the block, by being given up."""
    producer = KafkaProducer(
        bootstrap_servers=kafka.bootstrap,
        transactional_id=topic,
        transaction_timeout_ms=int(PATIENCE * 2000),
        acks="all",
    )
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for one in events:
            producer.send(topic, one.encode(), partition=0)
        producer.flush(timeout=60)
        yield
        producer.abort_transaction()
    finally:
        producer.close(timeout=10)


@contextlib.contextmanager
def beating(kafka: Kafka, topic: str) -> Iterator[Event]:
    """Let *topic* have a record each second until the event is set, or the block ends."""
    ended = Event()

    def beat() -> None:
        connection = Connection(bootstrap_servers=kafka.bootstrap)
        while not ended.wait(1):
            publish(connection, topic, [Outgoing(event("beat", processor="beta").encode())])

    thread = Thread(target=beat)
    thread.start()
    try:
        yield ended
    finally:
        ended.set()
        thread.join()


class Settings:
    """The settings of the processes, which are written anew for some faults."""

    def __init__(self, kafka: Kafka, receiver: str) -> None:
        self._given = {"kafka": kafka.bootstrap, "receiver": receiver, "signing": SIGNING}

    def text(self, *topics: str, at_least: int = 3, telling: str = TELLING) -> str:
        """Return the settings that read *topics*, all of them where none is named."""
        tables = "".join(
            f'\n[[topics]]\nname = "{one}"\nsource = "cloudevents"\n{FEEDING[one]}\n'
            for one in topics or FEEDING
        )
        found = SETTINGS + telling
        return found.format(topics=tables, at_least=at_least, **self._given)
