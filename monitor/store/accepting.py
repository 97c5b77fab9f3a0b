"""A person accepts a number that was unverified, after comparing it with its source."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from monitor.facts import Instant
from monitor.ledger import Stock
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import audit, owing, stock, trust
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.trust import Doubt, NotAcceptable, Sources, Why, check_acceptable, in_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What a person says: *topic* None is every topic with this reason."""

    processor: str
    reason: Doubt
    topic: str | None
    by: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The number that was accepted, what was taken away, and what is against it still."""

    processor: str
    individuals: int
    research: int
    taken: tuple[Why, ...]
    left: tuple[Why, ...]


def accept(engine: Engine, said: Acceptance, sources: Sources, now: Instant) -> Accepted:
    """Take the reason away, with an audit entry and a notice. Raises NotAcceptable."""
    check_acceptable(said.reason)
    with engine.begin() as connection:
        names = Names.load(connection)
        number = names.processor_ids.get(said.processor)
        if number is None:
            raise NotAcceptable(f"there is no processor {said.processor!r} in the database")
        lock_processors(connection, [number])
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
            "by": said.by,
            "because": said.because,
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
