"""Tells one group what another has published: a restored copy is then noticed under its own name.

What is copied are offsets with what workers said of their database. Nothing is read of topics, and
the group that it comes from is only looked at: its workers go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from kafka.errors import KafkaError, UnknownMemberIdError

from streams.admin import Admin
from streams.connection import Connection, KafkaUnreachable
from streams.placing import Committed, Partition


class NotToBeFollowed(ValueError):
    """A group cannot be told this; the sentence says why. Nothing was published."""


def follow(connection: Connection, source: str, group: str, patience: float) -> int:
    """Publish to *group* what *source* has published; return of how many partitions.

    Raises NotToBeFollowed where *source* has published nothing, and where *group* has a member, or
    has read further than *source*: then it is no copy's. Raises KafkaUnreachable.
    """
    if source == group:
        raise NotToBeFollowed(f"{group!r} is the group of these settings: a copy has its own")
    with Admin(connection) as admin:
        admin.wait_reachable(patience)
        try:
            return _follow(admin, source, group)
        except (KafkaError, OSError) as exc:
            raise KafkaUnreachable(
                f"{connection.bootstrap_servers}: {type(exc).__name__}"
            ) from None


def _follow(admin: Admin, source: str, group: str) -> int:
    told, before = admin.committed(source), admin.committed(group)
    if not told:
        raise NotToBeFollowed(f"group {source!r} has published nothing")
    if further := _further(told, before):
        topic, number = further
        raise NotToBeFollowed(f"group {group!r} has read {topic}/{number} further than {source!r}")
    try:
        admin.publish_committed(group, told)
    except UnknownMemberIdError:
        raise NotToBeFollowed(f"group {group!r} has a running member: stop it first") from None
    return len(told)


def _further(
    told: Mapping[Partition, Committed], before: Mapping[Partition, Committed]
) -> Partition | None:
    nothing = Committed(0)
    ahead = (tp for tp, at in sorted(before.items()) if at.offset > told.get(tp, nothing).offset)
    return next(ahead, None)
