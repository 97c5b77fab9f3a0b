"""A group that is told what another has published, on a real broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from monitor.intake import Written
from streams.admin import Admin
from streams.connection import Connection
from streams.following import NotToBeFollowed, follow
from streams.placing import Committed, Partition
from tests.acceptance.running import until
from tests.homes import Home, home, topic
from tests.services.kafka import Kafka

SEALED = Written(7, 25, "5e" * 8, 1_772_414_400_000_000)


@pytest.fixture
def name(kafka: Kafka) -> str:
    made = f"following-{uuid4().hex[:8]}"
    kafka.create_topic(made, 2)
    return made


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Admin]:
    with Admin(Connection(bootstrap_servers=kafka.bootstrap)) as running:
        until(lambda: coordinated(running), "a broker that coordinates groups", 60)
        yield running


def coordinated(admin: Admin) -> bool:
    """Whether groups can be asked for: before the first one of all a new broker is not ready."""
    try:
        admin.committed("nobody")
    except KafkaError:
        return False
    return True


@pytest.fixture
def copy(kafka: Kafka, name: str, tmp_path: Path) -> Home:
    """The settings of a copy, whose group is its own."""
    keys = {"bootstrap_servers": kafka.bootstrap, "group": f"{name}-copy"}
    return home(tmp_path, topic(name), **keys)


def told(name: str, *offsets: int) -> Mapping[Partition, Committed]:
    return {(name, number): Committed(at, SEALED) for number, at in enumerate(offsets)}


def test_the_group_of_a_copy_is_told_all_that_the_other_has_published(
    copy: Home, admin: Admin, name: str
) -> None:
    admin.publish_committed(name, told(name, 5, 25))
    said = copy.good("copy-offsets", "--from", name).out

    assert admin.committed(f"{name}-copy") == admin.committed(name) == told(name, 5, 25)
    assert said == f"{name}-copy: what {name} has published of 2 partitions\n"


def test_telling_it_again_brings_what_is_newer(copy: Home, admin: Admin, name: str) -> None:
    for offset in (20, 25):
        admin.publish_committed(name, told(name, offset))
        found = copy.json("copy-offsets", "--from", name)

    assert found == {"from": name, "group": f"{name}-copy", "partitions": 1}
    assert admin.committed(f"{name}-copy") == told(name, 25)


@pytest.mark.parametrize(
    ("own", "why"),
    [(30, "has read {0}/0 further than '{0}'"), (None, "group '{0}' has published nothing")],
)
def test_what_is_no_copys_group_is_left_alone(
    copy: Home, admin: Admin, name: str, own: int | None, why: str
) -> None:
    """Typed with the settings of production it would have its numbers called unverified."""
    if own is not None:
        admin.publish_committed(name, told(name, 25))
        admin.publish_committed(f"{name}-copy", told(name, own))
    answer = copy.run("copy-offsets", "--from", name)

    assert (answer.code, answer.out) == (2, "")
    assert why.format(name) in answer.err
    assert admin.group_offsets(f"{name}-copy") == ({} if own is None else {(name, 0): own})


def test_a_group_with_a_running_member_is_left_alone(
    copy: Home, admin: Admin, kafka: Kafka, name: str
) -> None:
    admin.publish_committed(name, told(name, 25))
    with closing(member(kafka, name)):
        answer = copy.run("copy-offsets", "--from", name)

    assert answer.code == 2
    assert f"group '{name}-copy' has a running member: stop it first" in answer.err
    assert admin.group_offsets(f"{name}-copy") == {}


def member(kafka: Kafka, name: str) -> KafkaConsumer:
    """Return a consumer that has its partitions."""
    made = KafkaConsumer(
        name,
        bootstrap_servers=kafka.bootstrap,
        group_id=f"{name}-copy",
        enable_auto_commit=False,
    )
    until(lambda: made.poll(timeout_ms=5_000) == {} and bool(made.assignment()), "a member", 60)
    return made


def test_a_group_does_not_follow_itself(kafka: Kafka, name: str) -> None:
    with pytest.raises(NotToBeFollowed, match="a copy has its own"):
        follow(Connection(bootstrap_servers=kafka.bootstrap), name, name, 5)
