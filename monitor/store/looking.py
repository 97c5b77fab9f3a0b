"""Between batches: looking back on the book, and confirming what was reached.

Reading the book takes no lock, so writers go on meanwhile; what they bring is noted in the watch
(``Since``), and tells afterwards whether the answer still holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy import Connection, Engine

from monitor.duties import Duty, owed
from monitor.facts import Instant
from monitor.history import Point, Threshold
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.rules import rule_for_trigger, stock_rules
from monitor.store import (
    agreement,
    book,
    files,
    history_days,
    moments,
    overdue,
    owing,
    positions,
    snapshots,
    watches,
)
from monitor.store.apart import limit_for, sweep_apart
from monitor.store.engine import reading
from monitor.store.filings import bring_about
from monitor.store.keeping import Policy
from monitor.store.locks import lock_processors, looking_back
from monitor.store.moments import Sight
from monitor.store.names import Names, UnknownNumber
from monitor.store.older import Older
from monitor.store.reopening import Before
from monitor.store.sweeping import Swept, divide
from monitor.store.trust import Trust, topics_of
from monitor.store.watches import Reach, Since, Watches
from monitor.trust import in_body, in_proof
from monitor.workdays import beijing_day

log = logging.getLogger(__name__)

UNCONFIRMED_AFTER: Instant = 15 * 60 * 1_000_000
APART_FROM = 20_000  # facts: fewer are folded sooner than another process has started


class Looking:
    """Recounts and confirmations.

    *feeding* names the configured topics that feed a processor; None confirms without asking
    where partitions are (``apply``, when all files are read). With *apart* a large book is swept
    in a process of its own.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        feeding: Callable[[str], Iterable[str]] | None,
        unconfirmed_after: Instant = UNCONFIRMED_AFTER,
        clock: Callable[[], Instant] | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self._engine, self._policy, self._feeding = engine, policy, feeding
        self._clock, self._apart = clock, apart
        self._unconfirmed_after = unconfirmed_after
        self._rules = stock_rules(policy.rules)

    def use(self, policy: Policy) -> None:
        """Go on with *policy*, whose calendar is newer."""
        self._policy = policy

    def due(self, names: Names) -> list[str]:
        """Return the processors that a recount is due for."""
        with reading(self._engine) as connection:
            return watches.recounts_due(connection, names, self._rules)

    def note_overdue(self, names: Names, due: Iterable[str], now: Instant) -> None:
        """Note since when recounts of *due* are, and page those that are for too long."""
        after, sources = self._unconfirmed_after, self._policy.sources
        overdue.note(self._engine, names, due, now, after=after, sources=sources)

    def note_unfinished(self, now: Instant) -> None:
        """Page for files that nobody has gone on with for too long."""
        files.tell(self._engine, now, self._unconfirmed_after)

    def _lock(self, connection: Connection, number: int) -> None:
        """Wait for a processor. Raises SettingsReplaced: what is its is not ours to say then."""
        lock_processors(connection, [number])
        agreement.check(connection, self._policy.agreed)

    # -- recount ---------------------------------------------------------------------------

    def recount(self, names: Names, processor: str, now: Instant, *, wait: bool = False) -> bool:
        """Look back on all facts of *processor*; return False if it is still due afterwards.

        That is so, too, if another worker is at it; with *wait*, wait for that one.
        """
        with looking_back(self._engine, names.processor_ids[processor], wait=wait) as ours:
            return ours and self._look_back(names, processor, now)

    def _look_back(self, names: Names, processor: str, now: Instant) -> bool:
        begun = self._begin(names, processor)
        if begun is None:
            return True
        look, thresholds, older = begun
        marks = self._policy.marks
        size = self._size_bound() if self._apart else 0
        if size > APART_FROM:
            longest = limit_for(size)
            swept = sweep_apart(
                self._engine, marks, processor, thresholds, longest=longest, older=older
            )
            return self._finish(names, processor, look, swept, self._seen(now))
        with reading(self._engine) as connection:
            fresh = Names.load(connection)
            seen = self._seen(now)  # not when the first of several look backs was asked for
            divided = divide(
                connection, fresh, {processor: thresholds}, marks.research, older=older
            )
        with divided:
            return self._finish(names, processor, look, divided.fold()[processor], seen)

    def _seen(self, now: Instant) -> Instant:
        return now if self._clock is None else max(now, self._clock())

    def _size_bound(self) -> int:
        with reading(self._engine) as connection:
            return book.size_bound(connection)

    def _begin(
        self, names: Names, processor: str
    ) -> tuple[str, list[Threshold], list[Threshold]] | None:
        """Return the token of the look back and what it looks for, or None if nothing is due.

        That is what the newest latches wait for, and what older duties can hear of still.
        """
        number = names.processor_ids[processor]
        with self._engine.begin() as connection:
            self._lock(connection, number)
            held = Watches(connection, names, self._rules, [processor])
            if not held.watch[processor].recount_due:
                held.save()  # another number of a rule, that was far from being reached
                return None
            held.since[processor] = Since()
            held.save()
            wanted = [reach.threshold for reach in held.reaches[processor].values()]
            older = self._older(connection, names, held, processor).wanted
            return overdue.begin(connection, number), wanted, older

    def _finish(self, names: Names, processor: str, look: str, swept: Swept, now: Instant) -> bool:
        number = names.processor_ids[processor]
        with self._engine.begin() as connection:
            self._lock(connection, number)
            if not overdue.is_ours(connection, number, look):
                return False  # we were taken for dead: ``Since`` is that of another look back
            before = Before(connection, names, processor)
            # An end that was looked up before this transaction proves nothing of what it finds.
            seen = Sight(now, moments.take(connection))
            held = Watches(connection, names, self._rules, [processor])
            since = held.since[processor]
            stands = True
            for rule_id, reach in held.reaches[processor].items():
                if reach.threshold not in swept.reaches:  # armed anew since we began
                    stands = False
                    continue
                point = swept.reaches[reach.threshold]
                if _outdated(point, since, swept.peak, reach):
                    stands = False
                    continue
                held.reaches[processor][rule_id] = self._settled(
                    connection, names, reach, reach.found(point, seen), seen
                )
            older = self._older(connection, names, held, processor)
            if older.outdated(swept, since):
                stands = False
            elif stands:
                held.reaches[processor] |= older.news(swept, seen)
            watch = held.watch[processor]
            held.watch[processor] = replace(
                watch, peak=swept.peak + since.raising, recount_due=not stands
            )
            held.save()
            history_days.replace(connection, number, swept.days)
            if stands:
                overdue.settled(connection, number)
            bring_about(connection, names, self._policy, before, now)
        return stands

    def _older(self, connection: Connection, names: Names, held: Watches, processor: str) -> Older:
        return Older(connection, names, self._policy, processor, held.reaches[processor])

    def _settled(
        self, connection: Connection, names: Names, before: Reach, found: Reach, seen: Sight
    ) -> Reach:
        """Return the reach to keep: one at an earlier instant has to be confirmed anew.

        Earlier than the duty, or than what was confirmed: a partition that lags can take such a
        reach away again, as it can a first one. A later day, or none, is what all facts say now,
        and waits for a person anyway.
        """
        held = self._duty_of(connection, names, before)
        confirmed = None if before.pending else before.trigger_at
        settled = held[1].trigger_at if held is not None else confirmed
        if found.trigger_at is not None and settled is not None and found.trigger_at < settled:
            if before.pending and found.trigger_at == before.trigger_at:
                return found
            return replace(found.anew(seen), confirmed_at=None, paged_at=None)
        if self._restate(connection, names, found, seen.at):
            return found
        return found.unopened(before, seen)

    def _restate(self, connection: Connection, names: Names, found: Reach, now: Instant) -> bool:
        """See what the day found does to the duty of the reach; return False if it has none."""
        held = self._duty_of(connection, names, found)
        if held is None:
            return False
        owing.restate(
            connection,
            *held,
            self._policy.rules,
            self._policy.calendar,
            self._found(connection, names, found, now),
        )
        return True

    def _found(
        self, connection: Connection, names: Names, reach: Reach, now: Instant
    ) -> owing.Found:
        bounded = self._bounded(connection, names, reach)
        trust = Trust(connection, names, self._policy.sources, now)
        trusted = in_proof(trust.against(reach.processor))
        return owing.Found(
            trigger_at=reach.trigger_at,
            known_at=now,
            proof=_proof(reach, now) | {"not_later_than": bounded} | trusted,
            not_later_than=bounded,
        )

    def _duty_of(
        self, connection: Connection, names: Names, reach: Reach
    ) -> tuple[int, Duty] | None:
        family = [rule.id for rule in self._policy.rules if reach.rule in {rule.id, rule.legacy_of}]
        return owing.find_duty(connection, names, reach.processor, family, str(reach.latch))

    def _bounded(self, connection: Connection, names: Names, reach: Reach) -> bool:
        """Tell whether the trigger day is only *not later than* what we found."""
        if reach.trigger_at is None:
            return False
        known = snapshots.read(connection)
        bounds = (
            snapshots.bounded_until(known, topic)
            for topic in topics_of(connection, names, reach.processor)
        )
        return any(bound is not None and reach.trigger_at <= bound for bound in bounds)

    # -- confirmation ----------------------------------------------------------------------

    def confirm(self, names: Names, now: Instant) -> None:
        """Confirm every pending reach that all its partitions have passed; page the others late.

        While files are being applied, or were not read to their ends, nothing is confirmed. What
        one processor meets with is raised when all the others had their turn.
        """
        with reading(self._engine) as connection:
            waiting = watches.pending(connection, names)
        errors: list[Exception] = []
        for processor in waiting:
            try:
                self._confirm(names, processor, now)
            except (UnknownNumber, agreement.SettingsReplaced):
                raise  # no failure of this one: names are read again, or nothing is ours to say
            except Exception as exc:  # noqa: BLE001 - raised below, when the others had their turn
                what = type(exc).__name__  # its text may be that of a statement
                log.warning("confirming what %s reached failed (%s)", processor, what)
                errors.append(exc)
        if errors:
            raise errors[0]

    def _confirm(self, names: Names, processor: str, now: Instant) -> None:
        with self._engine.begin() as connection:
            self._lock(connection, names.processor_ids[processor])
            held = Watches(connection, names, self._rules, [processor])
            # Before a recount that is due nothing is certain, but it may take long, too. That
            # a file is in work is asked under the lock, which waits for what it brought.
            due = held.watch[processor].recount_due or files.any_in_work(connection)
            before = Before(connection, names, processor)
            look_at = self._page_if_late if due else self._look_at
            for rule_id, reach in held.reaches[processor].items():
                if reach.pending:
                    waits = reach.not_ahead_of(now)
                    held.reaches[processor][rule_id] = look_at(connection, names, waits, now)
            held.save()
            if not due:  # a duty that was opened may be what a step or a latch has waited for
                bring_about(connection, names, self._policy, before, now)

    def _look_at(self, connection: Connection, names: Names, reach: Reach, now: Instant) -> Reach:
        assert reach.trigger_at is not None  # noqa: S101 - it is pending
        if self._feeding is not None:
            topics, seen = list(self._feeding(reach.processor)), reach.first_seen_no
            if seen is None or not positions.all_passed(connection, topics, reach.trigger_at, seen):
                return self._page_if_late(connection, names, reach, now)
        self._open(connection, names, reach, now)
        return replace(reach, confirmed_at=now)

    def _open(self, connection: Connection, names: Names, reach: Reach, now: Instant) -> None:
        """Open the duty of a confirmed reach, or restate the one it has."""
        assert reach.trigger_at is not None  # noqa: S101 - it was reached
        held = self._duty_of(connection, names, reach)
        found = self._found(connection, names, reach, now)
        if held is not None:
            policy = self._policy
            owing.restate(connection, *held, policy.rules, policy.calendar, found)
            return
        day = beijing_day(reach.trigger_at)
        rule = rule_for_trigger(self._policy.rules, reach.rule, day)
        if rule is None:
            return
        duty = owed(
            rule,
            processor=reach.processor,
            key=str(reach.latch),
            trigger_at=reach.trigger_at,
            known_at=now,
            calendar=self._policy.calendar,
            proof=found.proof,
            not_later_than=found.not_later_than,
        )
        owing.open_duty(connection, names, duty)

    def _page_if_late(
        self, connection: Connection, names: Names, reach: Reach, now: Instant
    ) -> Reach:
        seen = reach.first_seen_at if reach.first_seen_at is not None else now
        if reach.paged_at is not None or now - seen < self._unconfirmed_after:
            return reach
        whys = Trust(connection, names, self._policy.sources, now).against(reach.processor)
        notice = Notice(
            key=key_of(Kind.REACH_UNCONFIRMED, reach.processor, reach.rule, str(seen)),
            kind=Kind.REACH_UNCONFIRMED,
            severity=Severity.PAGE,
            processor=reach.processor,
            rule=reach.rule,
            created_at=now,
            body={"individuals": reach.individuals, "at_least": reach.at_least, **in_body(whys)},
        )
        owing.note(connection, notice, "reach.unconfirmed")
        return replace(reach, paged_at=now)


def _outdated(point: Point | None, since: Since, peak: int, reach: Reach) -> bool:
    """Tell whether facts that came in during the look back can have changed its answer."""
    if since.first_at is None:
        return False
    if point is not None:
        return since.first_at <= point.at
    if reach.after is not None:
        return since.passed
    return peak + since.raising >= reach.at_least


def _proof(reach: Reach, now: Instant) -> dict[str, object]:
    armed = {} if reach.after is None else {"after": reach.after}
    return armed | {
        "individuals": reach.individuals,
        "at_least": reach.at_least,
        "trigger_at": reach.trigger_at,
        "first_seen_at": reach.first_seen_at,
        "confirmed_at": now,
        "rule": reach.rule,
    }
