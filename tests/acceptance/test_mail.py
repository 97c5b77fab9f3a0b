"""From a record in Kafka to a letter: the real processes and a real mail server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.running import until
from tests.homes import event
from tests.post_office import post_office
from tests.services.kafka import Kafka

TOPIC: Final = "mailed-faces"
SETTINGS: Final = """\
bootstrap_servers = "{kafka}"
group = "mailed"
language = "zh-CN"

[[rules]]
id = "frt.file"
at_least = 3

[[topics]]
name = "{topic}"
source = "cloudevents"

[[channels]]
kind = "apprise"
name = "mail"
url = "mailto://127.0.0.1:{port}/?from=facetally@example.org&to=duty@example.org"
allow_private = true
"""


def mailed(facetally: Facetally) -> dict[str, Any]:
    """Return how the page of the duty goes by mail."""
    (page,) = facetally.json("notices")["notices"]
    (way,) = page["channels"]
    return dict(way)


def test_a_record_in_kafka_becomes_a_letter_though_the_mail_server_refuses_it_at_first(
    kafka: Kafka, postgres_url: str, forker: Forker, tmp_path: Path
) -> None:
    kafka.create_topic(TOPIC)
    people = [event(f"P{number}", time="2026-03-02T08:00:00Z") for number in range(3)]
    with post_office("451 later, please") as office:
        settings = SETTINGS.format(kafka=kafka.bootstrap, topic=TOPIC, port=office.port)
        facetally = Facetally(forker, tmp_path / "run", settings, database_url=postgres_url)
        worker, alerts = facetally.start("worker"), facetally.start("alerts")
        try:
            connection = Connection(bootstrap_servers=kafka.bootstrap)
            publish(connection, TOPIC, [Outgoing(one.encode()) for one in people])
            until(lambda: bool(facetally.duties()), "the duty")
            until(lambda: mailed(facetally)["error"] is not None, "a letter that is refused")
            refused = mailed(facetally)
            office.answer = "250 OK"
            until(lambda: bool(office.letters), "the letter")
            until(lambda: mailed(facetally)["sent_at"] is not None, "its mark")
            delivered = mailed(facetally)
        finally:
            alerts.stop()
            worker.stop()
    (letter,) = office.letters
    body = letter.get_body()

    assert refused["sent_at"] is None
    assert delivered["attempts"] >= 2
    assert office.receivers == [["duty@example.org"]]
    assert "产生一项法定义务" in str(letter["subject"])
    assert body is not None
    assert "acme" in body.get_content()
