"""Silences in SQL, and what decides beside the settings whether something is told now.

A silence is a row with its audit entries: made, and ended by a person or run out. With its end
what it has kept back and is still open is owed again, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, exists, insert, select, update

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.muting import LONGEST_DAYS, Silence, Standing
from monitor.notices import Kind, Notice, Severity
from monitor.store import audit, channels, overtaken_notices, owing, pages, rerouting, schema
from monitor.store.engine import reading
from monitor.store.names import Names
from monitor.store.over import calls_nobody, not_over
from monitor.store.owing import notice_of

ADDED: Final = "silence.added"
ENDED: Final = "silence.ended"
EXPIRED: Final = "silence.expired"
OWED_AGAIN: Final = rerouting.OWED_AGAIN
_DAY: Final = 24 * 3600 * 1_000_000
_s, _d, _n = schema.silences.c, schema.deliveries.c, schema.notices.c
_a = schema.acknowledgements.c


class NotSilenced(ValueError):
    """What was asked for cannot be; the message says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Mute what agrees with all that is given, *until* then: one thing must be given."""

    until: Instant
    by: str
    reason: str
    processor: str | None = None
    rule: str | None = None
    kind: Kind | None = None
    severity: Severity | None = None


def add(engine: Engine, wanted: Wanted, now: Instant, longest_days: int = LONGEST_DAYS) -> Silence:
    """Make a silence, with its audit entry. Raises NotSilenced."""
    if wanted.until <= now:
        raise NotSilenced("--until is over already")
    if wanted.until > now + longest_days * _DAY:
        raise NotSilenced(f"--until is more than {longest_days} days ahead: no silence is longer")
    if not (wanted.processor or wanted.rule or wanted.kind or wanted.severity):
        raise NotSilenced("say what is to be muted: a processor, a rule, a kind or a severity")
    row = {"made_at": now, **asdict(wanted)}
    with engine.begin() as connection:
        number = connection.execute(
            insert(schema.silences).values(row).returning(_s.id)
        ).scalar_one()
        silence = Silence(number=number, made_at=now, **asdict(wanted))
        body = {"silence": number, **asdict(wanted)}
        audit.append(connection, now, ADDED, wanted.processor, body)
    return silence


def end(engine: Engine, number: int, by: str, now: Instant) -> bool:
    """End a silence before its time; False if there is none of that number that still lasts."""
    return _end(engine, number, by, now)


def every(connection: Connection) -> list[Silence]:
    """Return all silences that there ever were, oldest first."""
    return [silence_of(row) for row in connection.execute(select(schema.silences).order_by(_s.id))]


def not_ended(connection: Connection) -> list[Silence]:
    """Return the silences that nobody has ended and that have not been seen to run out."""
    query = select(schema.silences).where(_s.ended_at.is_(None)).order_by(_s.id)
    return [silence_of(row) for row in connection.execute(query)]


def lasts(connection: Connection, number: int) -> bool:
    """Tell whether nobody has ended a silence, which then waits for the end of this transaction.

    For who marks a delivery as kept back by it: asked before the mark, so that its end owes that
    again, or has come first and is seen here.
    """
    lasting = (_s.id == number, _s.ended_at.is_(None))
    held = select(_s.id).where(*lasting).with_for_update(read=True)
    return connection.execute(held).first() is not None


def deadlines(connection: Connection, silence: Silence) -> list[Duty]:
    """Return the owed duties that *silence* is about and that are overdue before it ends."""
    found = owing.read_duties(
        connection, Names.load(connection), [schema.duties.c.closed_at.is_(None)]
    )
    return [
        duty
        for _, duty in found
        if duty.owed
        and duty.overdue_at <= silence.until
        and silence.processor in {None, duty.processor}
        and silence.rule in {None, duty.rule}
    ]


def silence_of(row: Row[Any]) -> Silence:
    """Return the silence in a row of the table."""
    return Silence(
        number=row.id,
        made_at=row.made_at,
        until=row.until,
        by=row.by,
        reason=row.reason,
        processor=row.processor,
        rule=row.rule,
        kind=Kind(row.kind) if row.kind else None,
        severity=Severity(row.severity) if row.severity else None,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )


class Standings:
    """What a sender asks before each notice, ``alerts.judging.Standings``, and of what lasts."""

    def __init__(
        self,
        engine: Engine,
        longest_days: int = LONGEST_DAYS,
        logs: Collection[str] = frozenset(),
    ) -> None:
        """Take whom only the channels *logs* have told for nobody: they wake no one."""
        self._engine, self._longest, self._logs = engine, longest_days, frozenset(logs)

    def silencing(self) -> Standing:
        """Return a standing that knows the silences alone: the same for every notice."""
        with reading(self._engine) as connection:
            return Standing(silences=not_ended(connection), longest_days=self._longest)

    def standing(self, notice: Notice, now: Instant) -> Standing:
        """Return what is so now: silences, channels that fail, whether its page is acknowledged."""
        page = notice.body.get("page")
        with reading(self._engine) as connection:
            return Standing(
                silences=not_ended(connection),
                broken=pages.broken(connection, now),
                acknowledged=isinstance(page, str) and _acknowledged(connection, page),
                heard=overtaken_notices.heard(
                    connection, notice, now - pages.BROKEN_AFTER, self._logs
                ),
                over=calls_nobody(connection, notice, self._logs),
                newer=overtaken_notices.newer(connection, notice),
                late=overtaken_notices.late(connection, notice),
                longest_days=self._longest,
            )


class Expiring:
    """A chore of the alerts process: silences that have run out end. *show* hears how many last."""

    def __init__(
        self, engine: Engine, show: Callable[[int], None], longest_days: int = LONGEST_DAYS
    ) -> None:
        self._engine, self._show, self._longest = engine, show, longest_days

    def look(self, now: Instant) -> None:
        """End those whose time is over."""
        with reading(self._engine) as connection:
            found = not_ended(connection)
        for one in found:
            if one.until <= now:
                _end(self._engine, one.number, None, now)
        self._show(sum(one.in_force(now, self._longest) for one in found))


def _end(engine: Engine, number: int, by: str | None, now: Instant) -> bool:
    with engine.begin() as connection:
        lasting = (_s.id == number, _s.ended_at.is_(None))
        done = update(schema.silences).where(*lasting).values(ended_at=now, ended_by=by)
        row = connection.execute(done.returning(_s.processor)).first()
        if row is None:
            return False
        # Rows first: whoever marks a delivery takes the lock of the audit log after it, too.
        again = _owe_again(connection, number)
        body = {"silence": number, "by": by}
        audit.append(connection, now, EXPIRED if by is None else ENDED, row.processor, body)
        for notice, channel in again:
            said = {
                "notice": notice.key,
                "kind": notice.kind.value,
                "channel": channel,
                "silence": number,
            }
            audit.append(connection, now, OWED_AGAIN, notice.processor, said)
        return True


def _owe_again(connection: Connection, silence: int) -> list[tuple[Notice, str]]:
    """Owe what *silence* kept back and is still open, and return it with its channels.

    That are pages, and the newest reminder of a duty. What a channel would tell that has left
    meanwhile, those are owed whom routes had passed over for it.
    """
    query = (
        select(schema.notices, _d.channel.label("on"))
        .join(schema.deliveries, _d.notice_id == _n.id)
        .where(_d.silence == silence, _d.skipped_at.is_not(None), _d.sent_at.is_(None))
        .order_by(_n.id, _d.channel)
    )
    kept = [(row.id, row.on, notice_of(row)) for row in connection.execute(query)]
    # In the order of all who change several deliveries.
    channels.lock(connection, {number for number, _, _ in kept})
    going_on = set(not_over(connection, {number: notice for number, _, notice in kept}))
    newest: dict[tuple[object, str], tuple[int, Notice]] = {}
    still: set[tuple[int, str]] = set()
    for number, channel, notice in kept:
        if number in going_on and _is_open(connection, notice):
            # Of a page and its steps on one channel the newest says all.
            about = notice.body.get("page", notice.key)
            newest[about, channel] = (number, notice)
            still.add((number, channel))
    back = {"skipped_at": None, "skipped": None, "silence": None, "not_before": 0}
    again = sorted((number, channel) for (_, channel), (number, _) in newest.items())
    for number, channel in again:
        mine = (_d.notice_id == number, _d.channel == channel)
        connection.execute(update(schema.deliveries).where(*mine).values(back))
    again += rerouting.owe_for_left(connection, still)
    notices = {number: notice for number, _, notice in kept}
    return [(notices[number], channel) for number, channel in again]


def _is_open(connection: Connection, notice: Notice) -> bool:
    if notice.severity is not Severity.PAGE and notice.kind is not Kind.REMINDER:
        return False
    page = notice.body.get("page")
    if notice.kind is not Kind.ESCALATED or not isinstance(page, str):
        return not _acknowledged(connection, notice.key)
    row = connection.execute(select(schema.notices).where(_n.key == page)).first()
    over = row is not None and not not_over(connection, {row.id: notice_of(row)})
    return not over and not _acknowledged(connection, page)


def _acknowledged(connection: Connection, key: str) -> bool:
    number = select(_n.id).where(_n.key == key).scalar_subquery()
    there = select(exists().where(_a.notice_id == number))
    return bool(connection.scalar(there))
