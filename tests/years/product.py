"""The pure core, put together as the store does it: what it says is owed, from what was heard."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import accumulate, groupby

from monitor.calendars import Year
from monitor.duties import (
    Decision,
    Duty,
    deadline_under,
    event_key,
    owed,
    recounted,
    restated,
)
from monitor.facts import Version
from monitor.filings import CANCEL, FILE, UNTOUCHED, Life, Step, Target, clocks, rearmings, settle
from monitor.history import Point, first_reach
from monitor.rules import SHIPPED, Rule, rule_for_trigger, with_overrides
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
        self._latch = 1
        self._after: int | None = None

    # -- what is heard ---------------------------------------------------------------------

    def publish(self, calendar: Calendar) -> None:
        self.calendar = calendar
        for key, duty in self.duties.items():
            again = recounted(duty, RULES, calendar)
            if again is not None:
                self.duties[key] = again
                self.moved += 1

    def move(self, at: int, delta: int, now: int) -> None:
        self._moves.append((at, delta))
        self._bring_about(now)

    def terminate(self, at: int, now: int) -> None:
        self._terminated.append(at)
        self._bring_about(now)

    def change(self, at: int, version: Version, now: int) -> None:
        self._open("frt.change", event_key(version), at, now)
        self._bring_about(now)

    def step(self, step: Step, now: int) -> None:
        self.steps.append(step)
        self._bring_about(now)

    # -- what follows ----------------------------------------------------------------------

    def _bring_about(self, now: int) -> None:
        for _ in range(8):
            before = (len(self.duties), self._latch)
            self._settle()
            self._look_for_a_reach(now)
            self._look_for_ends(now)
            if (len(self.duties), self._latch) == before:
                break
        self._settle()

    def _settle(self) -> None:
        targets = {_target(duty): key for key, duty in self.duties.items()}
        self.lives = dict(settle(targets, self.steps).lives)
        for target, key in targets.items():
            life, duty = self.lives[target], self.duties[key]
            ended = life.ended
            annulled = ended.reason if ended is not None and ended.kind == "annulled" else None
            closed_at = None if ended is None else ended.at
            self.duties[key] = replace(duty, life=life, closed_at=closed_at, annulled=annulled)

    def _look_for_a_reach(self, now: int) -> None:
        """Open or restate the duty of the latch, and arm the next one when it was released."""
        key = str(self._latch)
        found = first_reach(self._points(), BY_ID[FILE].reached_at, self._after)
        if found is not None:
            self._open(FILE, key, found.at, now)
        held = self.duties.get((FILE, key))
        reached_at = found.at if found is not None else held.trigger_at if held else None
        if reached_at is None:
            return
        since = rearmings(self.lives, FILE, key)
        after = next((at for at in since if at >= reached_at), None)
        if after is not None:
            self._latch, self._after = self._latch + 1, after

    def _look_for_ends(self, now: int) -> None:
        armed = sorted(
            life.ended.at
            for target, life in self.lives.items()
            if target.rule == CANCEL and life.ended is not None
        )
        for at in sorted(self._terminated, reverse=True):
            self._open(CANCEL, str(1 + bisect_left(armed, at)), at, now)

    def _points(self) -> Iterator[Point]:
        ordered = groupby(sorted(self._moves), key=lambda move: move[0])
        steps = [(at, sum(delta for _, delta in moves)) for at, moves in ordered]
        for (at, _), number in zip(steps, accumulate(step for _, step in steps), strict=True):
            yield Point(at, number)

    def _open(self, family: str, key: str, at: int, now: int) -> None:
        held = self.duties.get((family, key))
        if held is not None:
            found = restated(
                held, RULES, at, known_at=now, calendar=self.calendar, proof={"number": key}
            )
            if found.decision is Decision.MOVE:
                assert found.duty.trigger_day < held.trigger_day
                self.restated += 1
                self.duties[family, key] = replace(found.duty, life=held.life)
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
                proof={},
            )

    # -- what can be seen ------------------------------------------------------------------

    def running(self, duty: Duty) -> Iterator[tuple[str, int, Deadline]]:
        """Yield the review and supplement clocks of a duty's filing: rule, start, deadline."""
        target = _target(duty)
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


def _target(duty: Duty) -> Target:
    return Target(duty.rule, duty.key, duty.trigger_at)
