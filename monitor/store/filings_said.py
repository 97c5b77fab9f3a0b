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

from sqlalchemy import Connection, Engine

from monitor.chain import canonical
from monitor.facts import Instant
from monitor.filings import (
    CLOCKS,
    FILE,
    FILINGS,
    Judged,
    Life,
    Settled,
    Step,
    StepKind,
    Target,
    Verdict,
    family,
    is_early,
    settle,
)
from monitor.latches import left_behind, target_of
from monitor.rules import IN_FORCE
from monitor.store import agreement, changes, correcting, filings_kept, owing, schema
from monitor.store.filings import bring_about
from monitor.store.filings_values import Decided, NotRecorded, Recorded, StepSaid
from monitor.store.filings_which import Which, is_recount_due, listed
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.reopening import Before
from monitor.store.stepping import keep_step
from monitor.store.terminating import Law
from monitor.workdays import beijing_day, overdue_from

_AHEAD: Instant = 300_000_000
_FIRST = date(2000, 1, 1)
_FIRST_AT: Instant = overdue_from(_FIRST - timedelta(days=1))
_TOO_OLD = "that is before the year 2000"
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
        self._before = Before(connection, names, processor)
        mine = [schema.duties.c.processor_id == self._number]
        self._held = {
            target_of(duty): (row, duty)
            for row, duty in owing.read_duties(connection, names, mine)
            if duty.rule not in CLOCKS
        }
        self._steps = filings_kept.read(connection, [self._number]).get(self._number, [])
        duties = {target: duty for target, (_, duty) in self._held.items()}
        self._left = left_behind(duties.values())
        self._settled = settle(self._held, self._steps, self._left)
        due = is_recount_due(connection, self._number)
        self._which = Which(processor, duties, self._settled.lives, self._left, recount_due=due)

    # -- steps -----------------------------------------------------------------------------

    def record(self, said: StepSaid) -> Recorded:
        """Record a step that is legal for one duty, or say that it is known."""
        self._check_when(said.at)
        addressed = self._which.addressed(said.rule, said.duty, said.kind)
        known = self._known(said, addressed, to_the_letter=True)
        takers = [one for one in addressed if said.kind in self._settled.lives[one].legal]
        if known is None and not takers:
            known = self._known(said, addressed, to_the_letter=False)
        if known is not None:
            self._check_meant(said, *known, takers)
            return self._recorded(known[0], known[1].id, new=False)
        taker = self._which.legal(said.kind, addressed, said.rule)
        if taker is None:
            raise self._which.illegal(said.kind, addressed)
        step = self._step(said, taker, self._settled.lives[taker])
        self._check_early(said, step, taker)
        return self._keep(step, taker)

    def _check_meant(
        self, said: StepSaid, known: Target, step: Step, takers: Sequence[Target]
    ) -> None:
        """Raise NotRecorded if it can be of another duty than *known*, which has this *step*."""
        if said.duty is not None:
            return
        behind = self._which.stays_behind(said.kind, known, takers)
        if behind is not None:
            raise behind
        # By its reference, or its instant, we can know which duty it is about.
        named = said.reference is not None and said.reference == step.reference
        if takers and known not in takers and not named and said.at != step.at:
            raise self._which.several(said.kind, said.rule, [known, *takers])

    def _known(
        self, said: StepSaid, addressed: Sequence[Target], *, to_the_letter: bool
    ) -> tuple[Target, Step] | None:
        """Return the step that is said again, with its duty: an annulled one comes last."""
        for target in sorted(addressed, key=self._which.is_annulled):
            life = self._settled.lives[target]
            step = self._step(said, target, life)
            forms = [step]
            if to_the_letter and isinstance(said.at, date):
                forms.append(_dated(step, said.at))
            for one in forms:
                if (held := life.repeated(one, to_the_letter=to_the_letter)) is not None:
                    return target, held
        return None

    def _check_early(self, said: StepSaid, step: Step, target: Target) -> None:
        """Raise NotRecorded for a submission before the trigger day that does not name its duty."""
        if said.kind is not StepKind.SUBMITTED or not is_early(step.at, target):
            return
        day = beijing_day(step.at)
        if family(target.rule) in FILINGS and day < IN_FORCE:
            raise NotRecorded(f"{day} is before {IN_FORCE}, from which the Measures are in force")
        if said.duty is None:
            trigger = beijing_day(target.trigger_at)
            raise NotRecorded(
                f"{day} is before the trigger day {trigger} of {listed([target])}; if it was "
                f"submitted so early, name the duty with --key"
            )

    def _step(self, said: StepSaid, target: Target, life: Life) -> Step:
        at = said.at
        detail: dict[str, object] = {}
        if isinstance(at, date):
            detail["dated"] = True
            # Within a day, what is said later happened later.
            latest = life.taken[-1].at + 1 if life.taken else 0
            first = overdue_from(at - timedelta(days=1))
            at = max(first, latest) if latest and beijing_day(latest) == at else first
        if said.kind is StepKind.SUBMITTED:
            detail |= changes.in_detail(
                changes.picture(self._connection, self._names, self._processor)
            )
            if said.individuals is not None:
                detail |= {"individuals": said.individuals, "said": True}
        rule = family(target.rule)
        return Step(
            id=self._new_id(said.kind, rule, target.key, str(at), said.reference or ""),
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

    def _new_id(self, kind: StepKind, *parts: str) -> str:
        """Return the id of a step; what was taken back and is said again is another one."""
        back = {step.withdraws for step in self._steps}
        found = _id(kind, *parts)
        while found in back:
            found = _id(kind, *parts, f"after {found}")
        return found

    def _keep(self, step: Step, target: Target | None) -> Recorded:
        self._check_others(step, self._settled.lives)
        keep_step(self._connection, self._names, self._processor, step)
        bring_about(self._connection, self._names, self._law, self._before, self._now)
        return self._recorded(target, step.id, new=True)

    def _check_others(self, step: Step, targets: Iterable[Target]) -> None:
        """Raise NotRecorded unless *step* is taken and all that was taken before still is.

        *targets* are the duties as they will be. What only an annulled duty had may be this step.
        """
        after = settle(targets, [*self._steps, step], self._left)
        taken = [one for one in self._settled.judged if one.verdict is Verdict.TAKEN]
        moved = {one.step.id for one in taken if self._which.is_annulled(one.target)}
        lost = {one.step.id for one in taken} - {step.withdraws}
        lost -= {
            one.step.id
            for one in after.judged
            if one.step.id in moved and one.verdict is Verdict.REPEATED
        }
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
        _check_no_clock(said.rule)
        addressed = self._which.addressed(said.rule, said.duty, said.kind)
        known = self._decided(said, addressed)
        legal = [one for one in addressed if said.kind in self._settled.lives[one].legal]
        if known is not None and known[0] not in legal:
            if legal and said.duty is None:
                raise self._which.several(said.kind, said.rule, [known[0], *legal])
            return self._recorded(known[0], known[1].id, new=False)
        target = self._which.legal(said.kind, addressed, said.rule)
        if target is None:
            raise self._which.illegal(said.kind, addressed)
        if said.kind is StepKind.REOPENED:
            return self._reopen(said, target)
        if said.trigger_day is not None:
            return self._correct(said, target, said.trigger_day)
        if said.kind is StepKind.CORRECTED:
            return self._recorded(target, "", new=False)
        taken = self._settled.lives[target].taken
        done = self._keep(self._decision(said, family(target.rule), target.key, {}), target)
        stays = tuple(step for step in taken if step.kind is StepKind.SUBMITTED)
        return replace(done, stays=stays)

    def _decided(self, said: Decided, addressed: Sequence[Target]) -> tuple[Target, Step] | None:
        """Return the decision that is said again in the same words, with its duty."""
        if said.kind is StepKind.CORRECTED:
            return None
        names = {(family(one.rule), one.key): one for one in addressed}
        newest: dict[Target, Step] = {}
        for step in self._steps:
            target = names.get((step.rule or "", step.duty or ""))
            if target is not None and step.kind in {StepKind.ANNULLED, StepKind.REOPENED}:
                newest[target] = step
        for target, step in newest.items():
            if (step.kind, step.by, step.reason) == (said.kind, said.by, said.reason):
                return target, step
        return None

    def _correct(self, said: Decided, target: Target, day: date) -> Recorded:
        """Move a duty to the trigger *day* that a person decided on."""
        if day > beijing_day(self._now):
            raise NotRecorded(f"{day} is not over yet: nothing can have been reached on it")
        if day < _FIRST:
            raise NotRecorded(_TOO_OLD)
        row, duty = self._held[target]
        moved = correcting.moved(self._connection, self._number, self._law, said, duty, self._now)
        if moved is duty:
            return self._recorded(target, "", new=False)
        detail: dict[str, object] = {
            "was_trigger_day": duty.trigger_day.isoformat(),
            "trigger_day": day.isoformat(),
        }
        step = self._decision(said, family(target.rule), target.key, detail)
        others = [one for one in self._settled.lives if one != target]
        self._check_others(step, [*others, target_of(moved)])
        keep_step(self._connection, self._names, self._processor, step)
        correcting.move(self._connection, row, duty, moved, step)
        bring_about(self._connection, self._names, self._law, self._before, self._now)
        return self._recorded(target_of(moved), step.id, new=True)

    def _reopen(self, said: Decided, target: Target) -> Recorded:
        """Take back what ended the duty, and all that says so again.

        What ends it in another way then is none of that, and stays.
        """
        steps, step_id = list(self._steps), ""
        first = ended = self._settled.lives[target].ended
        while first is not None and ended is not None and ended.kind is first.kind:
            detail: dict[str, object] = {"of": ended.id}
            step = self._decision(said, family(target.rule), target.key, detail)
            step = replace(step, withdraws=ended.id)
            keep_step(self._connection, self._names, self._processor, step)
            steps.append(step)
            step_id = step.id
            ended = settle(self._held, steps, self._left).lives[target].ended
        bring_about(self._connection, self._names, self._law, self._before, self._now)
        return self._recorded(target, step_id, new=True)

    def withdraw(self, said: Decided, step_id: str) -> Recorded:
        """Take a step of a filing back, as if it had never been told."""
        judged = next((one for one in self._settled.judged if one.step.id == step_id), None)
        if judged is None:
            raise NotRecorded(f"{self._processor} has no step {step_id!r}; see 'filing list'")
        if judged.step.kind in {StepKind.ANNULLED, StepKind.REOPENED, StepKind.CORRECTED}:
            raise NotRecorded(f"{judged.step.kind} is a decision; decide anew instead")
        target, waited = judged.target, judged.step
        rule = waited.rule or FILE if target is None else family(target.rule)
        key = waited.duty or "-" if target is None else target.key
        _check_no_clock(said.rule)
        if family(said.rule) != rule or said.duty not in {None, key}:
            raise NotRecorded(f"{step_id} is a step of {rule} {key}; name that duty")
        if judged.verdict is Verdict.WITHDRAWN:
            return Recorded(duty=None, step=step_id, new=False)
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

    def _check_when(self, at: Instant | date) -> None:
        if at > beijing_day(self._now) if isinstance(at, date) else at > self._now + _AHEAD:
            raise NotRecorded("that is in the future; record it when it has happened")
        if at < _FIRST if isinstance(at, date) else at < _FIRST_AT:
            raise NotRecorded(_TOO_OLD)

    def _recorded(self, target: Target | None, step: str, *, new: bool) -> Recorded:
        if target is None:
            return Recorded(duty=None, step=step, new=new)
        named = (self._names, self._processor, [target.rule], target.key)
        found = owing.find_duty(self._connection, *named)
        return Recorded(duty=None if found is None else found[1], step=step, new=new)


def _check_no_clock(rule: str) -> None:
    """Raise NotRecorded for a decision about a clock: it ends with a step of its filing."""
    if rule in CLOCKS:
        raise NotRecorded(f"{rule} follows from a filing; name that filing's rule and key")


# -- listing -------------------------------------------------------------------------------------


def listing(connection: Connection, names: Names) -> dict[str, Settled]:
    """Return what all steps come to, by processor; those of whom nothing was told are absent."""
    found = filings_kept.settled(connection, names.processor_by_id)
    return {names.processor_by_id[number]: one for number, one in sorted(found.items())}


def of_duty(settled: Settled, target: Target) -> list[Judged]:
    """Return the steps that met *target*, oldest first."""
    return [one for one in settled.judged if one.target == target]


def _dated(step: Step, day: date) -> Step:
    return replace(step, at=overdue_from(day - timedelta(days=1)))


def _id(kind: StepKind, *parts: str) -> str:
    digest = hashlib.blake2b(canonical({"said": [kind, *parts]}).encode(), digest_size=16)
    return f"said:{digest.hexdigest()}"
