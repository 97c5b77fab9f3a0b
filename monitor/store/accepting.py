"""A person accepts a number that was unverified, after comparing it with its source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from monitor.facts import Instant
from monitor.ledger import Stock
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import audit, moments, owing, positions, stock, trust
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.trust import Doubt, NotAcceptable, Sources, Why, check_acceptable, in_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What a person says: *topic* None is every topic with this reason.

    *compared_at* is when the number was compared with the source: what happened later is not
    accepted. *unread* is said of a topic that cannot be read to its end any more.
    """

    processor: str
    reason: Doubt
    topic: str | None
    compared_at: Instant
    by: str
    because: str
    unread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The number that was accepted, what was taken away, and what is against it still."""

    processor: str
    individuals: int
    research: int
    taken: tuple[Why, ...]
    left: tuple[Why, ...]


def _check_read(connection: Connection, whys: Iterable[Why]) -> None:
    """Raise NotAcceptable unless all has been read that there was: the number still changes."""
    waiting = [
        f"{why.topic}/{partition}"
        for why in whys
        for partition in positions.unread(
            connection, why.topic, trust.marked_at(connection, why.reason, why.topic)
        )
    ]
    if waiting:
        raise NotAcceptable(
            f"not yet: {', '.join(waiting)} has not been read to its end since; let the worker "
            "read on and compare then, or say --unread if the topic is gone for good"
        )


def _check_compared(
    connection: Connection, whys: Iterable[Why], compared_at: Instant, now: Instant
) -> None:
    """Raise NotAcceptable unless all of *whys* happened before the number was compared."""
    if compared_at > now:
        raise NotAcceptable("--compared-at lies in the future: say when the number was compared")
    since = [
        why.topic for why in whys if trust.last_at(connection, why.reason, why.topic) > compared_at
    ]
    if since:
        raise NotAcceptable(
            f"it has happened again since the number was compared ({', '.join(since)}): compare "
            "once more with the source, and say when"
        )


def accept(engine: Engine, said: Acceptance, sources: Sources, now: Instant) -> Accepted:
    """Take the reason away, with an audit entry and a notice. Raises NotAcceptable.

    Whoever marks a number meanwhile takes turns with this: a mark is seen here, or comes after it.
    """
    check_acceptable(said.reason)
    with engine.begin() as connection:
        names = Names.load(connection)
        number = names.processor_ids.get(said.processor)
        if number is None:
            raise NotAcceptable(f"there is no processor {said.processor!r} in the database")
        lock_processors(connection, [number])
        moments.take(connection)  # who marks takes one too, and waits for us
        taken = tuple(
            why
            for why in trust.written(connection, number)
            if why.reason is said.reason and said.topic in {None, why.topic}
        )
        if not taken:
            where = f" by topic {said.topic!r}" if said.topic is not None else ""
            raise NotAcceptable(
                f"the number of {said.processor!r} is not unverified for {said.reason.value}{where}"
            )
        _check_compared(connection, taken, said.compared_at, now)
        if not said.unread:
            _check_read(connection, taken)
        for why in taken:
            trust.accept(connection, number, why, now)
        counted = stock.read(connection, names).get(said.processor, Stock())
        done = Accepted(
            processor=said.processor,
            individuals=counted.individuals,
            research=counted.research,
            taken=taken,
            left=trust.Trust(connection, names, sources, now).against(said.processor),
        )
        body: dict[str, str | int | bool | None] = {
            "reason": said.reason.value,
            "topic": ", ".join(why.topic for why in taken),
            "compared_at": said.compared_at,
            "by": said.by,
            "because": said.because,
            "unread": said.unread,
            "individuals": done.individuals,
            "research_individuals": done.research,
            **in_body(done.left),
        }
        unverified_since = [{"topic": why.topic, "since": why.since} for why in taken]
        entry = audit.append(
            connection, now, "number.accepted", said.processor, body | {"since": unverified_since}
        )
        notice = Notice(
            key=key_of(Kind.NUMBER_ACCEPTED, said.processor, str(entry.seq)),
            kind=Kind.NUMBER_ACCEPTED,
            severity=Severity.WARNING,
            processor=said.processor,
            created_at=now,
            body=body | {"audit_head": entry.hash},
        )
        owing.notify(connection, notice)
    return done
