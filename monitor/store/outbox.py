"""The outbox in SQL: ``monitor.notices.Outbox`` for any number of senders.

A claim is looked for in a read, which waits for nobody, and taken by an update that holds only if
nothing has changed since: a sender that looks every second never keeps a batch waiting for
nothing. A delivery, and that one is skipped, is one entry of the audit log, written with its mark;
failed attempts are not, they are kept beside the delivery to be shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    Engine,
    FromClause,
    Row,
    Select,
    Update,
    and_,
    case,
    func,
    or_,
    select,
    update,
)

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import family
from monitor.notices import (
    LONGEST_PAUSE,
    NOBODY_NAMED,
    PAGED_AGAIN,
    Body,
    Claim,
    ClosedDuty,
    OpenDuty,
    Reached,
    Severity,
    Skip,
    Told,
    Waiting,
)
from monitor.store import audit, muted, owing, rerouting, schema, waking
from monitor.store.channels import (
    SKIPPED,
    known_channels,
    make_known,
    owe,
    returning,
    settle,
    unowed,
)
from monitor.store.engine import reading
from monitor.store.names import Names
from monitor.store.trust import Trust
from monitor.trust import Sources, Why, in_body

SENT = "notice.sent"
_Matter: TypeAlias = tuple[str, str, str]  # processor, family of rules, key of the duty
_n, _d, _c = schema.notices.c, schema.deliveries.c, schema.channels.c
_OWED = (_d.sent_at.is_(None), _d.skipped_at.is_(None))
_LONGEST = 200


class SqlOutbox:
    """``monitor.notices.Outbox`` over *engine*, for many threads and processes at once."""

    def __init__(
        self,
        engine: Engine,
        sources: Sources | None = None,
        clock: Callable[[], Instant] | None = None,
    ) -> None:
        """Tell of open duties whether their numbers are verified now, by *sources* and *clock*."""
        self._engine, self._sources, self._clock = engine, sources, clock

    def ensure(self, channels: Sequence[str], now: Instant) -> None:
        """Make *channels* the known ones, owing each what it was not told; see the protocol.

        Writes only where there is something to change, so that it may be called often.
        """
        wanted = sorted(set(channels))
        with reading(self._engine) as connection:
            known = known_channels(connection)
            change = rerouting.Change(
                wanted=wanted,
                leaving=sorted(set(known) - set(wanted)),
                returning=returning(connection, wanted),
            )
            untold = connection.execute(rerouting.left_untold(change)).first()
            missing = connection.execute(unowed(now)).first()
            if untold is None and known == wanted and missing is None:
                return
        # Before they leave or are back: who dies in between finds it again.
        if untold is not None:
            with self._engine.begin() as connection:
                rerouting.owe_left_untold(connection, change, now)
        if change.returning:
            with self._engine.begin() as connection:
                settle(connection, change.returning, now)
        with self._engine.begin() as connection:
            make_known(connection, wanted, now)
            owe(connection, now)

    def claim(self, channel: str, now: Instant, lease_us: int) -> Claim | None:
        """Take the notice of *channel* that has been due longest, pages first, or None.

        A wait that began after *now* is the mark of a clock that was ahead: it is over.
        """
        while True:
            with reading(self._engine) as connection:
                found = connection.execute(_due(channel, now, lease_us)).first()
            if found is None:
                return None
            if self._take(found, channel, now, now + lease_us):
                return Claim(owing.notice_of(found), channel, found.attempts + 1)
            # Another caller came first: look for the next one.

    def _take(self, found: Row[Any], channel: str, now: Instant, until: Instant) -> bool:
        unchanged = (
            _d.notice_id == found.id,
            _d.channel == channel,
            _d.attempts == found.attempts,
            _d.not_before == found.not_before,
            *_OWED,
        )
        lease = {"attempts": found.attempts + 1, "claimed_at": now, "not_before": until}
        with self._engine.begin() as connection:
            taken = connection.execute(update(schema.deliveries).where(*unchanged).values(lease))
        return taken.rowcount == 1

    def sent(self, claim: Claim, now: Instant, answer: str, to: Reached = NOBODY_NAMED) -> None:
        """Mark as delivered and write the audit entry; a second mark does neither."""
        answer = _shown(answer)
        with self._engine.begin() as connection:
            arrived = {"skipped_at": None, "skipped": None, "silence": None}
            mark = _of(claim).values(sent_at=now, answer=answer, **arrived)
            if connection.execute(mark).rowcount != 1:
                return
            failing = waking.works_again(connection, claim.channel)
            body = _body_of(claim) | {"attempts": claim.attempts, "answer": answer}
            body |= {name: value for name, value in to._asdict().items() if value is not None}
            audit.append(connection, now, SENT, claim.notice.processor, body)
        if failing is not None and now - failing >= waking.OUTAGE:
            with self._engine.begin() as connection:
                waking.wake(connection, claim, now)

    def failed(self, claim: Claim, again_at: Instant, error: str) -> None:
        """Keep *error* to be shown, due again at *again_at*; no effect on a lease lost since."""
        ours = _of(claim).where(_d.attempts == claim.attempts)
        with self._engine.begin() as connection:
            values = ours.values(not_before=again_at, error=_shown(error))
            if connection.execute(values).rowcount == 1:
                connection.execute(_failing(claim))

    def skipped(self, claim: Claim, now: Instant, skip: Skip) -> bool:
        """Mark as not to be told on this channel, with an audit entry; a second mark does neither.

        What was delivered or skipped stays so. False if nobody would be told; see the protocol.
        """
        with self._engine.begin() as connection:
            # It was judged in another transaction: what its end owes again must be marked by then.
            if skip.silence is not None and not muted.lasts(connection, skip.silence):
                return False
            passed = rerouting.Passed()
            if skip.instead:
                passed = rerouting.told_instead(connection, claim, skip.instead)
            mark = _of(claim).where(_d.skipped_at.is_(None))
            values = {"skipped_at": now, "skipped": skip.why, "silence": skip.silence}
            if passed.over and connection.execute(mark.values(values)).rowcount == 1:
                body = _body_of(claim) | {"why": skip.why}
                if skip.silence is not None:
                    body["silence"] = skip.silence
                audit.append(connection, now, SKIPPED, claim.notice.processor, body)
            rerouting.note(connection, claim, passed.again, now)
            return passed.over

    def open_duties(self) -> Sequence[OpenDuty]:
        """Return every duty that is owed now, with its current days, in the order of opening.

        Not what was submitted: then it is for the authority to act.

        Whether its number is verified is told as of now, and apart as of when it was opened.
        """
        now = None if self._clock is None else self._clock()
        with reading(self._engine) as connection:
            where = [schema.duties.c.closed_at.is_(None)]
            names = Names.load(connection)
            duties = [duty for _, duty in owing.read_duties(connection, names, where) if duty.owed]
            trust = Trust(connection, names, self._sources, now)
            against = {one: trust.against(one) for one in {duty.processor for duty in duties}}
            again = _paged_again(connection)
            return [
                OpenDuty(
                    processor=duty.processor,
                    rule=duty.rule,
                    duty=duty.key,
                    opened_at=duty.opened_at,
                    body=_body(duty, against[duty.processor]),
                    again=pages[-1],
                    former=pages[:-1],
                )
                for duty in duties
                for pages in [again[_matter_of(duty)]]
            ]

    def closed_duties_since(self, since: Instant) -> Sequence[ClosedDuty]:
        """Return the duties known since *since* to be owed no more, in the order of opening."""
        now = None if self._clock is None else self._clock()
        with reading(self._engine) as connection:
            duties = owing.read_duties(connection, Names.load(connection))
            again = _paged_again(connection)
            return [
                ClosedDuty(*name, duty.opened_at, ended, again[_matter_of(duty)][-1])
                for _, duty in duties
                for name in [(duty.processor, duty.rule, duty.key)]
                if (ended := _no_more_owed(duty)) is not None
                # What is kept for years says beforehand when that ends.
                and since <= ended <= (ended if now is None else now)
            ]

    def told_since(self, channel: str, since: Instant, until: Instant) -> Sequence[Told]:
        """Return what *channel* has delivered after *since*, up to *until*, oldest first."""
        query = (
            select(schema.notices, _d.sent_at)
            .join(schema.deliveries, _n.id == _d.notice_id)
            .where(_d.channel == channel, _d.sent_at > since, _d.sent_at <= until)
            .order_by(_d.sent_at, _n.id)
        )
        with reading(self._engine) as connection:
            return [Told(owing.notice_of(row), row.sent_at) for row in connection.execute(query)]

    def waiting(self) -> Sequence[Waiting]:
        """Return what the known channels have not delivered, by channel."""
        with reading(self._engine) as connection:
            return read_waiting(connection)


def _paged_again(connection: Connection) -> Mapping[_Matter, tuple[str | None, ...]]:
    """Return the pages that a duty is owed again, oldest first; before them, None."""
    kinds = [kind.value for kind in PAGED_AGAIN]
    query = (
        select(_n.processor, _n.rule, _n.duty, _n.key)
        .where(_n.kind.in_(kinds), _n.severity == Severity.PAGE.value, _n.duty.is_not(None))
        .order_by(_n.id)
    )
    found: defaultdict[_Matter, tuple[str | None, ...]] = defaultdict(lambda: (None,))
    for row in connection.execute(query):
        found[row.processor, family(row.rule), row.duty] += (row.key,)
    return found


def _matter_of(duty: Duty) -> _Matter:
    """Return by what its pages are found: a duty may have turned into its legacy row since."""
    return duty.processor, family(duty.rule), duty.key


def _no_more_owed(duty: Duty) -> Instant | None:
    """Return since when we know that nobody has to act; a review clock was never shown as owed."""
    if duty.owed or duty.of_authority:
        return None
    return duty.life.taken[-1].known_at if duty.life.taken else duty.closed_at


def _body(duty: Duty, against: Sequence[Why]) -> Body:
    body = owing.body_of(duty)
    then = {"verified_when_opened": body["verified"]} if "verified" in body else {}
    return body | then | in_body(against)


def read_waiting(connection: Connection) -> list[Waiting]:
    """Return what the known channels have not delivered; a channel with nothing is absent."""
    # A second attempt without a failure in between: the first sender has died.
    failing = case((or_(_d.error.is_not(None), _d.attempts > 1), 1), else_=0)
    query = (
        select(_d.channel, func.count(), func.sum(failing), func.min(_n.created_at))
        .select_from(_known_deliveries())
        .where(*_OWED)
        .group_by(_d.channel)
        .order_by(_d.channel)
    )
    return [
        Waiting(channel, notices, int(failed), oldest)
        for channel, notices, failed, oldest in connection.execute(query)
    ]


def _known_deliveries() -> FromClause:
    joined = schema.deliveries.join(schema.notices, _n.id == _d.notice_id)
    return joined.join(schema.channels, and_(_c.channel == _d.channel, _c.active))


def _due(channel: str, now: Instant, lease_us: int) -> Select[Any]:
    # Of two senders one is always a little ahead: its lease is to hold all the same.
    ahead = or_(_d.claimed_at > now + lease_us, _d.not_before > now + LONGEST_PAUSE + lease_us)
    due = or_(_d.not_before <= now, ahead)
    since = case((_d.attempts == 0, _n.created_at), else_=_d.not_before)
    urgent = case(*((_n.severity == one.value, rank) for rank, one in enumerate(Severity)))
    return (
        select(schema.notices, _d.attempts, _d.not_before)
        .select_from(_known_deliveries())
        .where(_d.channel == channel, *_OWED, due)
        .order_by(urgent, since, _n.created_at, _n.id)
        .limit(1)
    )


def _of(claim: Claim) -> Update:
    """Return an update of the delivery that *claim* is about, unless that is marked."""
    number = select(_n.id).where(_n.key == claim.notice.key).scalar_subquery()
    return update(schema.deliveries).where(
        _d.notice_id == number, _d.channel == claim.channel, _d.sent_at.is_(None)
    )


def _body_of(claim: Claim) -> dict[str, object]:
    """Return what an entry says of the delivery that *claim* is about."""
    return {
        "notice": claim.notice.key,
        "kind": claim.notice.kind.value,
        "channel": claim.channel,
    }


def _failing(claim: Claim) -> Update:
    """Return the note of when the channel of *claim* began to fail, unless it has."""
    number = select(_n.id).where(_n.key == claim.notice.key).scalar_subquery()
    tried = select(_d.claimed_at).where(_d.notice_id == number, _d.channel == claim.channel)
    first = (_c.channel == claim.channel, _c.failing_since.is_(None))
    return update(schema.channels).where(*first).values(failing_since=tried.scalar_subquery())


def _shown(text: str) -> str:
    """Return *text* as the database takes it: a NUL would be refused, and the mark with it."""
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])
