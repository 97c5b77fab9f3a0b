"""What the steps of a processor's filings mean for its duties, brought about in one transaction.

``bring_about`` compares what the fold of all steps says with what the database has, and writes the
difference: ends of duties, review and supplement clocks, latches that are armed anew, and who must
know. So it does not matter in which order, how often or in which batches steps were told. Whoever
calls it holds the processor's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from monitor.duties import Duty, owed
from monitor.facts import Instant
from monitor.filing_clocks import Clock, clock_life, clocks
from monitor.filings import (
    CLOCKS,
    REVIEW,
    SUPPLEMENT,
    Judged,
    Life,
    Settled,
    State,
    Step,
    StepKind,
    Target,
    Verdict,
    family,
    settle,
)
from monitor.latches import SUPERSEDED, target_of
from monitor.notices import Body, Kind, Notice, Severity, key_of
from monitor.rules import rule_for_trigger, stock_rules
from monitor.store import audit, filings_kept, numbered, owing, schema, stock, terminating
from monitor.store.latching import Latches
from monitor.store.names import Names
from monitor.store.reopening import Before
from monitor.store.stepping import OF_FILINGS
from monitor.store.terminating import Law
from monitor.superseding import because
from monitor.workdays import beijing_day

_TAKEN_BACK = "the step that started this clock does not hold any more"
_ROUNDS = 100  # each opens at least one duty
_LOOKS = 9


def bring_about(
    connection: Connection, names: Names, law: Law, before: Before, known_at: Instant
) -> Settled:
    """Make the duties of a processor what its steps come to; return what they come to.

    Of what is owed again by then and was not *before*, a page tells, and all older ones are over.
    """
    processor = before.processor
    for _ in range(_ROUNDS):
        work = _Work(connection, names, law, processor, known_at)
        work.end_duties()
        work.run_clocks()
        work.arm_stock()
        # A duty that was opened may be the one that a step has waited for.
        looked = (connection, names, law, processor, known_at)
        if not work.open_cancellations() and not numbered.look(*looked).opened:
            break
    work.tell()
    for again in before.owed_again():
        if not before.is_told(again):
            work.tell_reopened(again.duty)
        before.end_pages(again, known_at)
    for again in before.failed_at_once():
        before.end_pages(again, known_at)
    return work.settled


class _Work:
    """One round: what the steps come to, against the duties that there are."""

    def __init__(
        self, connection: Connection, names: Names, law: Law, processor: str, known_at: Instant
    ) -> None:
        self._connection, self._names, self._law = connection, names, law
        self._processor, self._known_at = processor, known_at
        self._number = names.processor_ids[processor]
        mine = [schema.duties.c.processor_id == self._number]
        self._held = list(owing.read_duties(connection, names, mine))
        steps = filings_kept.read(connection, [self._number]).get(self._number, [])
        self._settle([duty for _, duty in self._held], steps)

    def _settle(self, duties: Sequence[Duty], steps: Sequence[Step]) -> None:
        """Find out what *steps* come to, and which duties nobody owes by that.

        What a step is about hangs on which those are, so it takes a second look if there are some.
        """
        left: set[Target] = set()
        for _ in range(_LOOKS):
            self._left = left
            self.settled = settle(map(target_of, duties), steps, left)
            self._latches = Latches(self._law.rules, duties, self.settled.lives)
            left = self._latches.superseded()
            if left == self._left:
                break

    # -- ends ------------------------------------------------------------------------------

    def end_duties(self) -> None:
        """Close what its steps have ended, and open again what they have not any more."""
        for number, duty in self._held:
            if duty.rule in CLOCKS:
                continue
            target = target_of(duty)
            ended = self.settled.lives[target].ended
            if ended is not None:
                self._set(number, duty, ended.at, _reason(ended), ended)
            elif target in self._left:
                known = duty.closed_at if duty.annulled == SUPERSEDED else self._known_at
                self._set(number, duty, known, SUPERSEDED, None)
            elif duty.annulled is not None or not self._keeps(duty):
                # What is to be kept up to a day ends with that by itself.
                again = duty.overdue_at if self._keeps(duty) else None
                self._set(number, duty, again, None, None)

    def _keeps(self, duty: Duty) -> bool:
        return any(rule.id == duty.rule and rule.keeps for rule in self._law.rules)

    def _set(
        self,
        number: int,
        duty: Duty,
        closed_at: Instant | None,
        annulled: str | None,
        step: Step | None,
    ) -> None:
        if (duty.closed_at, duty.annulled) == (closed_at, annulled):
            return
        after = replace(duty, closed_at=closed_at, annulled=annulled)
        owing.replace_duty(self._connection, number, after)
        if closed_at is None or (step is None and annulled is None):
            self.tell_reopened(after)
            self._latches.look_again(self._connection, self._number, after)
        else:
            self._tell_closed(after, closed_at, step)

    def _tell_closed(self, duty: Duty, closed_at: Instant, step: Step | None) -> None:
        body = {
            **owing.body_of(duty),
            "status": duty.status(max(self._known_at, closed_at)).value,
            "closed_day": beijing_day(closed_at).isoformat(),
            "in_time": duty.in_time,
            "by": None if step is None else step.by,
            "because": duty.annulled,
            **self._still_reached(duty),
        }
        described = {"rule": duty.rule, "key": duty.key, "closed_at": closed_at, **body}
        entry = self._audit("duty.closed", described)
        # A supplement that was late may have ended the procedure; nobody asked for the other.
        late = duty.rule == SUPPLEMENT and duty.in_time is False
        mind = late or duty.annulled == SUPERSEDED or "number_now" in body
        if not duty.of_authority:
            key = (str(closed_at), step.id if step is not None else "", entry)
            severity = Severity.WARNING if mind else Severity.INFO
            told = body | {"because": because(duty.annulled)}
            self._notify(Kind.DUTY_CLOSED, severity, duty, key, told, entry)

    def _still_reached(self, duty: Duty) -> dict[str, int]:
        """Return the number of now, if an annulled reach leaves it where nothing is to be passed.

        Then only a fall below the threshold and another passing opens a duty.
        """
        rules = {rule.id: rule for rule in stock_rules(self._law.rules)}
        rule = rules.get(family(duty.rule))
        counted = stock.read(self._connection, self._names).get(self._processor)
        if duty.annulled is None or rule is None or counted is None:
            return {}
        reached = counted.individuals >= rule.reached_at
        return {"number_now": counted.individuals} if reached else {}

    def tell_reopened(self, duty: Duty) -> None:
        """Tell that what ended *duty*, or met it, does not hold any more."""
        body = {**owing.body_of(duty), "status": duty.status(self._known_at).value}
        described = {"rule": duty.rule, "key": duty.key, "closed_at": duty.closed_at, **body}
        entry = self._audit("duty.reopened", described)
        severity = Severity.PAGE if duty.owed else Severity.WARNING
        if not duty.of_authority:
            key = (str(self._known_at), entry)
            self._notify(Kind.DUTY_REOPENED, severity, duty, key, body, entry)

    # -- review and supplement clocks ------------------------------------------------------

    def run_clocks(self) -> None:
        """Open, end and take back the clocks that steps of filings start."""
        held = {
            (duty.rule, duty.key): (number, duty)
            for number, duty in self._held
            if duty.rule in CLOCKS
        }
        for target, clock in self._clocks():
            known = held.pop((clock.rule, clock.key), None)
            if known is None:
                self._start(target, clock)
            else:
                self._follow(*known, clock_life(clock))
        for number, duty in held.values():
            if duty.closed_at is None:
                self._set(number, duty, self._known_at, _TAKEN_BACK, None)

    def _clocks(self) -> Iterator[tuple[Target, Clock]]:
        for target, life in self.settled.lives.items():
            for clock in clocks(target, life):
                yield target, clock

    def _follow(self, number: int, duty: Duty, life: Life) -> None:
        ended = life.taken[-1] if life.taken else None
        closed_at = None if ended is None else ended.at
        annulled = None if ended is None else _reason(ended)
        self._set(number, replace(duty, life=life), closed_at, annulled, ended)

    def _start(self, target: Target, clock: Clock) -> None:
        step, law = clock.step, self._law
        rule = rule_for_trigger(law.rules, clock.rule, beijing_day(step.at))
        if rule is None:
            return
        life = clock_life(clock)
        duty = owed(
            rule,
            processor=self._processor,
            key=clock.key,
            trigger_at=step.at,
            known_at=self._known_at,
            calendar=law.calendar,
            proof={
                "event": rule.event,
                "of": {"rule": target.rule, "key": target.key},
                "at": step.at,
                "known_at": step.known_at,
                "reference": step.reference,
                "source": step.source,
            },
        )
        if life.taken:
            # Told late, when it was over: nobody is called up for it.
            ended = life.taken[-1]
            duty = replace(duty, closed_at=ended.at, annulled=_reason(ended), life=life)
            owing.add_duty(self._connection, self._names, duty)
        elif clock.rule == REVIEW:
            owing.add_duty(self._connection, self._names, duty)
        else:
            owing.open_duty(self._connection, self._names, duty)

    # -- latches ---------------------------------------------------------------------------

    def arm_stock(self) -> None:
        """Arm the latches of stock rules anew after a completed cancellation or an annulment."""
        self._latches.arm_stock(self._connection, self._names, self._processor, self._known_at)

    def open_cancellations(self) -> bool:
        """Open the duty of each termination that has none; return whether there was one."""
        return terminating.open_duties(
            self._connection,
            self._names,
            self._law,
            self._processor,
            self._latches,
            self._known_at,
        )

    # -- telling ---------------------------------------------------------------------------

    def tell(self) -> None:
        """Tell of each step what became of it, once for each way in which it can end."""
        held = {target_of(duty): duty for _, duty in self._held}
        for judged in self.settled.judged:
            duty = None if judged.target is None else held[judged.target]
            if judged.verdict in {Verdict.REFUSED, Verdict.WAITING}:
                self._tell_not_taken(judged, duty)
            elif judged.verdict is Verdict.TAKEN and judged.step.kind in OF_FILINGS:
                assert duty is not None  # noqa: S101 - it was taken by one
                self._tell_taken(judged.step, duty)

    def _tell_not_taken(self, judged: Judged, duty: Duty | None) -> None:
        step = judged.step
        refused = judged.verdict is Verdict.REFUSED
        kind = Kind.FILING_REFUSED if refused else Kind.FILING_WAITING
        notice = Notice(
            key=key_of(kind, self._processor, step.id),
            kind=kind,
            severity=Severity.WARNING,
            processor=self._processor,
            rule=step.rule if duty is None else duty.rule,
            duty=step.duty if duty is None else duty.key,
            created_at=self._known_at,
            body={**_said(step), "why": judged.why},
        )
        owing.note(self._connection, notice, f"filing.{judged.verdict}")

    def _tell_taken(self, step: Step, duty: Duty) -> None:
        owed_again = step.kind in {StepKind.FAILED, StepKind.TERMINATED} and duty.owed
        notice = Notice(
            key=key_of(Kind.FILING_STEP, self._processor, step.id),
            kind=Kind.FILING_STEP,
            severity=Severity.PAGE if owed_again else Severity.INFO,
            processor=self._processor,
            rule=duty.rule,
            duty=duty.key,
            created_at=self._known_at,
            body={
                **owing.body_of(duty),
                **_said(step),
                "status": duty.status(self._known_at).value,
                "in_time": duty.in_time,
            },
        )
        owing.note(self._connection, notice, "filing.taken")

    def _notify(
        self,
        kind: Kind,
        severity: Severity,
        duty: Duty,
        key: Sequence[str],
        body: Body,
        audit_head: str,
    ) -> None:
        notice = Notice(
            key=key_of(kind, duty.processor, duty.rule, duty.key, *key),
            kind=kind,
            severity=severity,
            processor=duty.processor,
            rule=duty.rule,
            duty=duty.key,
            created_at=self._known_at,
            body={**body, "audit_head": audit_head},
        )
        owing.notify(self._connection, notice)

    def _audit(self, kind: str, body: Mapping[str, object]) -> str:
        entry = audit.append(self._connection, self._known_at, kind, self._processor, body)
        return entry.hash


def _reason(step: Step) -> str | None:
    return step.reason or "" if State(step.kind.value) is State.ANNULLED else None


def _said(step: Step) -> dict[str, str | int | bool | None]:
    return {
        "step": step.kind.value,
        "day": beijing_day(step.at).isoformat(),
        "reference": step.reference,
        "by": step.by,
        "because": step.reason,
    }
