"""The pure core, put together as the store does it: what it says is owed, from what was heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import accumulate, groupby

from monitor.calendars import Year
from monitor.duties import (
    Decision,
    Duty,
    Why,
    corrected,
    deadline_under,
    event_key,
    owed,
    recounted,
    restated,
)
from monitor.facts import Version
from monitor.filing_clocks import clocks
from monitor.filings import (
    CANCEL,
    FILE,
    UNTOUCHED,
    Life,
    Step,
    Target,
    settle,
)
from monitor.history import Point, first_reach
from monitor.latches import (
    SUPERSEDED,
    Past,
    Turn,
    completed_cancellations,
    firsts,
    pasts,
    reached_at,
    released,
    target_of,
    turns,
)
from monitor.moving import Cause, Known, moves
from monitor.rules import IN_FORCE, SHIPPED, Rule, rule_for_trigger, with_overrides
from monitor.workdays import Calendar, Deadline, beijing_day, load_calendar
from tests.years.notices import Notice
from tests.years.oracle import THRESHOLD

RULES = with_overrides(SHIPPED, [{"id": "frt.file", "at_least": THRESHOLD}])
BY_ID = {rule.id: rule for rule in RULES}
SHIPPED_YEARS = {year.year: year for year in load_calendar().years}


def year_of(notice: Notice) -> Year:
    """Return a notice as a year of the calendar; those that ship are the shipped ones."""
    if notice.year in SHIPPED_YEARS:
        return SHIPPED_YEARS[notice.year]
    name = f"{notice.year}-{notice.version}"
    return Year(year=notice.year, version=name, notice="drawn", off=notice.off, work=notice.work)


class Product:
    """Duties and clocks of one processor; *moved* counts duties whose deadline a year moved."""

    def __init__(self) -> None:
        self.calendar = Calendar((SHIPPED_YEARS[2025],))
        self.duties: dict[tuple[str, str], Duty] = {}  # by family and key
        self.lives: dict[Target, Life] = {}
        self.steps: list[Step] = []
        self.moved = self.restated = 0
        self._moves: list[tuple[int, int]] = []
        self._terminated: list[int] = []
        self._now = 0
        self._years = {year.version: year for year in self.calendar.years}

    # -- what is heard ---------------------------------------------------------------------

    def publish(self, calendar: Calendar) -> None:
        older, self.calendar = self.calendar, calendar
        self._years |= {year.version: year for year in calendar.years}
        self._count()
        # Nobody who has not heard of it yet counts anything back.
        known = Known(years=self._years, sets=[BY_ID])
        assert not any(moves(duty, RULES, older, known) for duty in self.duties.values())

    def _count(self) -> None:
        """Count again what another calendar gave its day, as every look of a worker does."""
        known = Known(years=self._years, sets=[BY_ID])
        for key, duty in self.duties.items():
            for moved in moves(duty, RULES, self.calendar, known):
                assert moved.why is Cause.CALENDAR
                self.duties[key] = moved.after
                self.moved += 1

    def move(self, at: int, delta: int, now: int) -> None:
        self._moves.append((at, delta))
        self._bring_about(now)

    def terminate(self, at: int, now: int) -> None:
        self._terminated.append(at)
        self._bring_about(now)

    def change(self, at: int, version: Version, now: int) -> None:
        self._open("frt.change", Turn(0, None), at, now, event_key(version))
        self._bring_about(now)

    def step(self, step: Step, now: int) -> None:
        self.steps.append(step)
        self._bring_about(now)

    def reopen(self, key: tuple[str, str], said: Step, now: int) -> None:
        """Take back what ended a duty, and all that says so again, at once, as the command does."""
        targets = {target_of(duty): held for held, duty in self.duties.items()}
        target = target_of(self.duties[key])
        first = ended = settle(targets, self.steps).lives[target].ended
        while first is not None and ended is not None and ended.kind is first.kind:
            number = len(self.steps)
            self.steps.append(replace(said, id=f"{said.id}.{number}", withdraws=ended.id))
            ended = settle(targets, self.steps).lives[target].ended
        self._bring_about(now)

    def correct(self, key: tuple[str, str], day: date, now: int) -> None:
        held = self.duties[key]
        if day == held.trigger_day:
            return
        self.duties[key] = corrected(
            held,
            RULES,
            day,
            known_at=now,
            calendar=self.calendar,
            by="officer",
            reason="so it was",
            found_at=self._known(key, held),
        )
        self._bring_about(now)

    def _known(self, key: tuple[str, str], held: Duty) -> int | None:
        """Return the trigger of a duty as the facts have it now."""
        number, after = self._turns(key[0])[-1]
        if key != (FILE, str(number)):
            return reached_at(held.trigger_at, held.proof)
        found = first_reach(self._points(), BY_ID[FILE].reached_at, after)
        return None if found is None else found.at

    # -- what follows ----------------------------------------------------------------------

    def _bring_about(self, now: int) -> None:
        self._now = now
        for _ in range(8):
            before = len(self.duties)
            self._settle()
            self._look_for_a_reach(now)
            self._look_for_ends(now)
            if len(self.duties) == before:
                break
        self._settle()
        self._count()

    def _settle(self) -> None:
        targets = {target_of(duty): key for key, duty in self.duties.items()}
        self.lives = dict(settle(targets, self.steps).lives)
        left = self._superseded()
        for target, key in targets.items():
            life, duty = self.lives[target], self.duties[key]
            ended = life.ended
            annulled = ended.reason if ended is not None and ended.kind == "annulled" else None
            closed_at = None if ended is None else ended.at
            if ended is None and key in left:
                annulled, closed_at = SUPERSEDED, left[key]
            after = replace(duty, life=life, closed_at=closed_at, annulled=annulled)
            if duty.closed_at is not None and closed_at is None:
                after = recounted(after, RULES, self.calendar) or after
            self.duties[key] = after

    def _superseded(self) -> dict[tuple[str, str], int]:
        """Return the duties whose latch is not in force, with when they were left behind."""
        return {
            key: duty.closed_at if duty.annulled == SUPERSEDED and duty.closed_at else self._now
            for key, duty in self.duties.items()
            if key[0] in {FILE, CANCEL}
            and all(str(turn.number) != key[1] for turn in self._turns(key[0]))
        }

    def _turns(self, family: str) -> list[Turn]:
        mine = [duty for key, duty in self.duties.items() if key[0] == family]
        return turns(released(mine, self.lives), completed_cancellations(self.lives))

    def _look_for_a_reach(self, now: int) -> None:
        """Open or restate the duty of the latch that is in force, and move those before it."""
        while any(self._move_older(past, now) for past in self._pasts()):
            pass
        number, after = self._turns(FILE)[-1]
        found = first_reach(self._points(), BY_ID[FILE].reached_at, after)
        if found is not None:
            self._open(FILE, Turn(number, after), found.at, now)

    def _pasts(self) -> list[Past]:
        self._settle()  # a duty that was moved is another target
        mine = [duty for key, duty in self.duties.items() if key[0] == FILE]
        return list(pasts(released(mine, self.lives), completed_cancellations(self.lives)))

    def _move_older(self, past: Past, now: int) -> bool:
        key, before = (FILE, str(past.number)), self.restated
        point = first_reach(self._points(), BY_ID[FILE].reached_at, past.after)
        early = point is not None and point.at <= past.until
        if point and early and beijing_day(point.at) < self.duties[key].trigger_day:
            self._restate(key, self.duties[key], point.at, now, past.after)
        return self.restated > before

    def _look_for_ends(self, now: int) -> None:
        told = [at for at in sorted(self._terminated) if beijing_day(at) >= IN_FORCE]
        taken = {turn.number: turn for turn in self._turns(CANCEL)}
        for number, at in firsts(told, list(taken.values())):
            self._open(CANCEL, taken[number], at, now)

    def _points(self) -> Iterator[Point]:
        ordered = groupby(sorted(self._moves), key=lambda move: move[0])
        steps = [(at, sum(delta for _, delta in moves)) for at, moves in ordered]
        for (at, _), number in zip(steps, accumulate(step for _, step in steps), strict=True):
            yield Point(at, number)

    def _open(self, family: str, turn: Turn, at: int, now: int, key: str | None = None) -> None:
        key = key or str(turn.number)
        held = self.duties.get((family, key))
        proof = {"trigger_at": at, "after": turn.after}
        if held is not None:
            self._restate((family, key), held, at, now, turn.after)
            return
        rule = rule_for_trigger(RULES, family, beijing_day(at))
        if rule is not None:
            self.duties[family, key] = owed(
                rule,
                processor="acme",
                key=key,
                trigger_at=at,
                known_at=now,
                calendar=self.calendar,
                proof=proof,
            )

    def _restate(
        self, key: tuple[str, str], held: Duty, at: int, now: int, after: int | None
    ) -> None:
        proof = {"trigger_at": at, "after": after}
        found = restated(held, RULES, at, known_at=now, calendar=self.calendar, proof=proof)
        if found.decision is Decision.MOVE:
            assert found.duty.trigger_day < held.trigger_day
            self.restated += 1
            self.duties[key] = replace(found.duty, life=held.life)
        elif found.why is Why.SAME_DAY and key[0] == FILE:
            self.duties[key] = replace(held, trigger_at=at, proof=proof)

    # -- what can be seen ------------------------------------------------------------------

    def running(self, duty: Duty) -> Iterator[tuple[str, int, Deadline]]:
        """Yield the review and supplement clocks of a duty's filing: rule, start, deadline."""
        target = target_of(duty)
        for clock in clocks(target, self.lives.get(target, UNTOUCHED)):
            rule: Rule = BY_ID[clock.rule]
            day: date = beijing_day(clock.step.at)
            yield (
                clock.rule.removeprefix("frt."),
                clock.step.at,
                deadline_under(rule, day, self.calendar),
            )


def calendars(notices: Sequence[Notice]) -> list[tuple[date, Notice, Calendar]]:
    """Return each notice with its day and the calendar that it makes, in order."""
    years: dict[int, Year] = {}
    found = []
    for notice in notices:
        years[notice.year] = year_of(notice)
        found.append((notice.on, notice, Calendar(tuple(years[y] for y in sorted(years)))))
    return found
