"""What a person says by command about filings and duties: recorded only where it is legal.

Unlike a step that an event tells, which is kept whatever it says, a command can be answered: what
is not legal is refused with what is, and nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, select

from monitor.chain import canonical
from monitor.duties import Duty, corrected
from monitor.facts import Instant
from monitor.filings import (
    CLOCKS,
    FILE,
    FILINGS,
    Illegal,
    Judged,
    Life,
    Settled,
    Step,
    StepKind,
    Target,
    Verdict,
    family,
    settle,
)
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.rules import RuleError
from monitor.store import agreement, audit, changes, filings_kept, owing, schema
from monitor.store.filings import bring_about, keep_step, target_of
from monitor.store.filings_values import Decided, NotRecorded, Recorded, StepSaid
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.terminating import Law
from monitor.workdays import beijing_day, overdue_from

_AHEAD: Instant = 300_000_000
_FIRST = date(2000, 1, 1)
COMMAND = "command"

__all__ = [
    "Decided",
    "NotRecorded",
    "Recorded",
    "StepSaid",
    "decide",
    "listing",
    "of_duty",
    "record",
]


def record(engine: Engine, said: StepSaid, law: Law, now: Instant) -> Recorded:
    """Record a step of a filing, with all it means, in one transaction. Raises NotRecorded."""
    with _desk(engine, said.processor, law, now) as desk:
        return desk.record(said)


def decide(engine: Engine, said: Decided, law: Law, now: Instant) -> Recorded:
    """Record a decision, with all it means, in one transaction. Raises NotRecorded."""
    with _desk(engine, said.processor, law, now) as desk:
        if said.withdraws is not None:
            return desk.withdraw(said, said.withdraws)
        return desk.decide(said)


@contextmanager
def _desk(engine: Engine, processor: str, law: Law, now: Instant) -> Iterator[_Desk]:
    with engine.begin() as connection:
        names = Names.load(connection)
        number = names.processor_ids.get(processor)
        if number is None:
            raise NotRecorded(f"there is no processor {processor!r} in the database")
        lock_processors(connection, [number])
        agreement.check_command(connection, law.agreed)
        yield _Desk(connection, names, law, processor, now)


class _Desk:
    """One processor, under its lock, with a person who says something."""

    def __init__(
        self, connection: Connection, names: Names, law: Law, processor: str, now: Instant
    ) -> None:
        self._connection, self._names, self._law = connection, names, law
        self._processor, self._now = processor, now
        self._number = names.processor_ids[processor]
        mine = [schema.duties.c.processor_id == self._number]
        self._held = {
            target_of(duty): (row, duty)
            for row, duty in owing.read_duties(connection, names, mine)
            if duty.rule not in CLOCKS
        }
        self._steps = filings_kept.read(connection, [self._number]).get(self._number, [])
        self._settled = settle(self._held, self._steps)

    # -- steps -----------------------------------------------------------------------------

    def record(self, said: StepSaid) -> Recorded:
        """Record a step that is legal for one duty, or say that it is known."""
        self._check_when(said.at)
        addressed = self._addressed(said.rule, said.duty)
        for target in addressed:
            life = self._settled.lives[target]
            step = self._step(said, target, life)
            known = [step] if not isinstance(said.at, date) else [step, _dated(step, said.at)]
            for one in known:
                if (held := life.repeated(one, to_the_letter=True)) is not None:
                    return self._recorded(target, held.id, new=False)
        taker = self._legal(said.kind, addressed, said.rule)
        if taker is None:
            for target in addressed:
                life = self._settled.lives[target]
                held = life.repeated(self._step(said, target, life), to_the_letter=False)
                if held is not None:
                    return self._recorded(target, held.id, new=False)
            raise self._illegal(said.kind, addressed)
        return self._keep(self._step(said, taker, self._settled.lives[taker]), taker)

    def _step(self, said: StepSaid, target: Target, life: Life) -> Step:
        at = said.at
        if isinstance(at, date):
            # Within a day, what is said later happened later.
            latest = life.taken[-1].at + 1 if life.taken else 0
            first = overdue_from(at - timedelta(days=1))
            at = max(first, latest) if latest and beijing_day(latest) == at else first
        detail: dict[str, object] = {}
        if said.kind is StepKind.SUBMITTED:
            detail = changes.in_detail(
                changes.picture(self._connection, self._names, self._processor)
            )
            if said.individuals is not None:
                detail["individuals"] = said.individuals
        rule = family(target.rule)
        return Step(
            id=_id(said.kind, rule, target.key, str(at), said.reference or ""),
            kind=said.kind,
            at=at,
            known_at=self._now,
            source=COMMAND,
            rule=rule,
            duty=target.key,
            by=said.by,
            reason=said.reason,
            reference=said.reference,
            detail=detail,
        )

    def _keep(self, step: Step, target: Target | None) -> Recorded:
        self._check_others(step)
        keep_step(self._connection, self._names, self._processor, step)
        bring_about(self._connection, self._names, self._law, self._processor, self._now)
        return self._recorded(target, step.id, new=True)

    def _check_others(self, step: Step) -> None:
        """Raise NotRecorded unless *step* is taken and all that was taken before still is."""
        after = settle(self._held, [*self._steps, step])
        before = {one.step.id for one in self._settled.judged if one.verdict is Verdict.TAKEN}
        lost = before - {step.withdraws}
        for one in after.judged:
            if one.step.id == step.id and one.verdict is not Verdict.TAKEN:
                raise NotRecorded(one.why)
            if one.step.id in lost and one.verdict is not Verdict.TAKEN:
                day = beijing_day(one.step.at)
                raise NotRecorded(
                    f"then {one.step.kind} of {day} would not hold: {one.why}; take that back "
                    f"first ('facetally duty correct --withdraw {one.step.id}')"
                )

    # -- decisions -------------------------------------------------------------------------

    def decide(self, said: Decided) -> Recorded:
        """Annul, reopen or correct one duty."""
        addressed = self._addressed(said.rule, said.duty)
        target = self._legal(said.kind, addressed, said.rule)
        if target is None:
            raise self._illegal(said.kind, addressed)
        detail: dict[str, object] = {}
        row, duty = self._held[target]
        moved = duty
        if said.trigger_day is not None:
            moved = self._corrected(duty, said, said.trigger_day)
            detail = {
                "was_trigger_day": duty.trigger_day.isoformat(),
                "trigger_day": said.trigger_day.isoformat(),
            }
        if said.kind is StepKind.CORRECTED and moved is duty:
            return self._recorded(target, "", new=False)
        if said.kind is StepKind.REOPENED:
            return self._reopen(said, target)
        step = self._decision(said, family(target.rule), target.key, detail)
        self._check_others(step)
        keep_step(self._connection, self._names, self._processor, step)
        if moved is not duty:
            self._move(row, duty, moved, said, step)
        bring_about(self._connection, self._names, self._law, self._processor, self._now)
        return self._recorded(target_of(moved), step.id, new=True)

    def _reopen(self, said: Decided, target: Target) -> Recorded:
        """Take back what ended the duty, and all that says so again."""
        steps = list(self._steps)
        step_id = ""
        while (ended := settle(self._held, steps).lives[target].ended) is not None:
            detail: dict[str, object] = {"of": ended.id}
            step = self._decision(said, family(target.rule), target.key, detail)
            step = replace(step, withdraws=ended.id)
            keep_step(self._connection, self._names, self._processor, step)
            steps.append(step)
            step_id = step.id
        bring_about(self._connection, self._names, self._law, self._processor, self._now)
        return self._recorded(target, step_id, new=True)

    def withdraw(self, said: Decided, step_id: str) -> Recorded:
        """Take a step of a filing back, as if it had never been told."""
        judged = next((one for one in self._settled.judged if one.step.id == step_id), None)
        if judged is None:
            raise NotRecorded(f"{self._processor} has no step {step_id!r}; see 'filing list'")
        if judged.step.kind in {StepKind.ANNULLED, StepKind.REOPENED, StepKind.CORRECTED}:
            raise NotRecorded(f"{judged.step.kind} is a decision; decide anew instead")
        if judged.verdict is Verdict.WITHDRAWN:
            return Recorded(duty=None, step=step_id, new=False)
        target, waited = judged.target, judged.step
        rule = waited.rule or FILE if target is None else family(target.rule)
        key = waited.duty or "-" if target is None else target.key
        step = self._decision(said, rule, key, {"of": step_id})
        return self._keep(replace(step, withdraws=step_id), target)

    def _decision(self, said: Decided, rule: str, key: str, detail: dict[str, object]) -> Step:
        return Step(
            id=_id(said.kind, rule, key, str(self._now), canonical(detail)),
            kind=said.kind,
            at=self._now,
            known_at=self._now,
            source=COMMAND,
            rule=rule,
            duty=key,
            by=said.by,
            reason=said.reason,
            detail=detail,
        )

    def _corrected(self, duty: Duty, said: Decided, day: date) -> Duty:
        """Return *duty* moved to *day*, or itself if that is its day already."""
        if day > beijing_day(self._now):
            raise NotRecorded(f"{day} is not over yet: nothing can have been reached on it")
        if day == duty.trigger_day:
            return duty
        try:
            return corrected(
                duty,
                self._law.rules,
                day,
                known_at=self._now,
                calendar=self._law.calendar,
                by=said.by,
                reason=said.reason,
                found_at=self._found_at(duty),
            )
        except RuleError as exc:
            raise NotRecorded(str(exc)) from None

    def _found_at(self, duty: Duty) -> Instant | None:
        """Return the trigger of *duty* as the facts have it now."""
        columns = schema.reaches.c
        query = select(columns.trigger_at).where(
            columns.processor_id == self._number,
            columns.rule == family(duty.rule),
            columns.latch == (int(duty.key) if duty.key.isdecimal() else 0),
        )
        row = self._connection.execute(query).first()
        due = select(schema.watches.c.recount_due).where(
            schema.watches.c.processor_id == self._number
        )
        if row is None or (row.trigger_at is None and self._connection.scalar(due)):
            return duty.trigger_at  # nothing else is known of it now
        found: Instant | None = row.trigger_at
        return found

    def _move(self, row: int, duty: Duty, moved: Duty, said: Decided, step: Step) -> None:
        owing.replace_duty(self._connection, row, moved, settled=True)
        body = {
            "why": said.reason,
            "by": said.by,
            "step": step.id,
            "before": owing.describe(duty),
            "after": owing.describe(moved),
        }
        entry = audit.append(self._connection, self._now, "duty.moved", self._processor, body)
        notice = Notice(
            key=key_of(Kind.DUTY_CORRECTED, self._processor, step.id),
            kind=Kind.DUTY_CORRECTED,
            severity=Severity.WARNING,
            processor=self._processor,
            rule=moved.rule,
            duty=moved.key,
            created_at=self._now,
            body={
                **owing.body_of(moved),
                "was_trigger_day": duty.trigger_day.isoformat(),
                "by": said.by,
                "because": said.reason,
                "audit_head": entry.hash,
            },
        )
        owing.notify(self._connection, notice)

    # -- which duty ------------------------------------------------------------------------

    def _addressed(self, rule: str, key: str | None) -> list[Target]:
        """Return the duties that *rule* and *key* can mean. Raises NotRecorded if there is none."""
        if rule in CLOCKS and key is not None:
            raise NotRecorded(f"{rule} follows from a filing; name that filing's rule and key")
        found = [
            target
            for target in self._settled.lives
            if key in {None, target.key}
            and (
                family(target.rule) in FILINGS
                if rule in CLOCKS
                else family(target.rule) == family(rule)
            )
        ]
        if not found:
            known = _listed(self._held) or "none"
            named = f"{rule} {key}" if key is not None else rule
            raise NotRecorded(f"{self._processor} has no duty {named}; its duties are: {known}")
        return found

    def _legal(self, kind: StepKind, addressed: Sequence[Target], rule: str) -> Target | None:
        """Return the one duty for which *kind* is legal, None if there is none."""
        legal = [one for one in addressed if kind in self._settled.lives[one].legal]
        if len(legal) > 1:
            raise NotRecorded(
                f"{self._processor} has several duties under {rule} for which {kind} is possible; "
                f"say which with --key: {_listed(legal)}"
            )
        return legal[0] if legal else None

    def _illegal(self, kind: StepKind, addressed: Sequence[Target]) -> NotRecorded:
        lives = self._settled.lives
        named = [one for one in addressed if lives[one].ended is None] or addressed
        said = [f"{_listed([one])}: {Illegal(lives[one].state, kind)}" for one in named]
        return NotRecorded("; ".join(said))

    def _check_when(self, at: Instant | date) -> None:
        today = beijing_day(self._now)
        late = at > today if isinstance(at, date) else at > self._now + _AHEAD
        day = at if isinstance(at, date) else beijing_day(at)
        if late:
            raise NotRecorded("that is in the future; record it when it has happened")
        if day < _FIRST:
            raise NotRecorded("that is before the year 2000")

    def _recorded(self, target: Target | None, step: str, *, new: bool) -> Recorded:
        if target is None:
            return Recorded(duty=None, step=step, new=new)
        where = (
            schema.duties.c.processor_id == self._number,
            schema.duties.c.rule == target.rule,
            schema.duties.c.key == target.key,
        )
        _, duty = next(owing.read_duties(self._connection, self._names, where))
        return Recorded(duty=duty, step=step, new=new)


# -- listing -------------------------------------------------------------------------------------


def listing(connection: Connection, names: Names) -> dict[str, Settled]:
    """Return what all steps come to, by processor; those of whom nothing was told are absent."""
    found = filings_kept.settled(connection, names.processor_by_id)
    return {names.processor_by_id[number]: one for number, one in sorted(found.items())}


def of_duty(settled: Settled, target: Target) -> list[Judged]:
    """Return the steps that met *target*, oldest first."""
    return [one for one in settled.judged if one.target == target]


def _listed(targets: Iterable[Target]) -> str:
    return ", ".join(f"{one.rule} {one.key}" for one in targets)


def _dated(step: Step, day: date) -> Step:
    return replace(step, at=overdue_from(day - timedelta(days=1)))


def _id(kind: StepKind, *parts: str) -> str:
    digest = hashlib.blake2b(canonical({"said": [kind, *parts]}).encode(), digest_size=16)
    return f"said:{digest.hexdigest()}"
