"""A world of ten years from a seed, lived by oracle and product side by side.

Every day on which something is heard is a stop: numbers move (some are heard of late), FR use
ends, filed facts change, calendars are published and corrected, and an officer submits, is
answered, annuls, dawdles, and now and then takes a step that is not legal. After each stop both
must say the same of every duty: rule, key, trigger day, due day or interval, status, days left.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from monitor.duties import Duty, event_key
from monitor.facts import Version
from monitor.filings import Step, StepKind
from monitor.latches import reached_at
from monitor.workdays import Deadline
from tests.years.notices import ONE
from tests.years.oracle import IN_FORCE, Days, Interval, Oracle, Owed, beijing
from tests.years.product import Product
from tests.years.worlds import FIRST, LAST, WORLDS, Tally, calendars, in_the_end, instant

NEAR = timedelta(days=60)
DECEMBER = 12

Seen = tuple[Any, ...]


class World:
    """One seed. ``differences`` is empty if oracle and product always said the same."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._late_ones = random.Random(seed + 1_000_000)
        self._world = seed % WORLDS
        self.oracle, self.product = Oracle(), Product()
        self.differences: list[str] = []
        self._count = self._steps = self._refused = self._overdue = self._provisional = 0
        self._planned = self._reopened = self._corrected = self._left = self._late = (
            self._denied
        ) = 0
        self._stops: list[tuple[date, int, tuple[Any, ...]]] = []
        self._expected: set[tuple[str, str]] = set()
        self._never_earlier: dict[tuple[str, str], date] = {}
        self._plan()

    # -- what will happen ------------------------------------------------------------------

    def _at(self, day: date, *what: Any) -> None:
        self._count += 1
        heapq.heappush(self._stops, (day, self._count, what))

    def _plan(self) -> None:
        rng = self._rng
        for on, notice, calendar in calendars(self._world):
            self._at(max(on, FIRST), "notice", notice, calendar)
        # Some go over the threshold in great steps and back, some stay close to it.
        low, high = rng.choice(((-45, 55), (-45, 55), (-6, 9)))
        self._at(FIRST, "move", self._moment(FIRST), 100 - rng.randint(1, high))
        for _ in range(rng.randint(16, 32)):
            day = self._day()
            late = rng.choice((0, 0, 0, rng.randint(1, 40), rng.randint(1, 400)))
            self._at(day + ONE * late, "move", self._moment(day), rng.randint(low, high))
        for _ in range(rng.randint(1, 4)):
            day = self._day()
            self._at(day + ONE * rng.choice((0, 0, 20)), "terminate", self._moment(day))
        for number in range(rng.randint(0, 4)):
            day = self._day()
            version = Version(self._moment(day), number, 0)
            self._at(day + ONE * rng.choice((0, 0, 9)), "change", version)
            if rng.random() < 0.3:  # heard twice
                self._at(day + ONE * 12, "change", version)

    def _day(self) -> date:
        if self._rng.random() < 0.12:  # the first months, for the legacy row
            return FIRST + ONE * self._rng.randint(0, 200)
        if self._rng.random() < 0.4:  # the weeks in which next year may not be published
            return date(self._rng.randint(2025, 2034), 11, 10) + ONE * self._rng.randint(0, 51)
        corrected = [notice.on for _, notice, _ in calendars(self._world) if notice.version > 1]
        if corrected and self._rng.random() < 0.3:  # the weeks before days are moved
            return self._rng.choice(corrected) - ONE * self._rng.randint(0, 40)
        return FIRST + ONE * self._rng.randint(0, (LAST - FIRST).days)

    def _moment(self, day: date) -> int:
        """Return an instant of *day* in Beijing, often at one of its two edges."""
        seconds = self._rng.choice((0, 86_399, self._rng.randint(1, 86_398)))
        return instant(day, seconds)

    # -- living through it -----------------------------------------------------------------

    def live(self) -> Tally:
        """Go from stop to stop; return what there was."""
        while self._stops:
            day, _, what = heapq.heappop(self._stops)
            self._do(day, what)
            self.oracle.keep_days()
            if not self._stops or self._stops[0][0] > day:
                self._compare(day)
                self._let_the_officer_plan(day)
        return self._tally()

    def _do(self, day: date, what: tuple[Any, ...]) -> None:
        now = instant(day, 86_399)
        match what:
            case "notice", notice, calendar:
                self.oracle.days.hear(notice)
                self.product.publish(calendar)
            case "move", at, delta:
                self.oracle.move(at, delta, now)
                self.product.move(at, delta, now)
            case "terminate", at:
                self.oracle.terminate(at, now)
                self.product.terminate(at, now)
            case "change", version:
                self.oracle.change(version[0], event_key(version))
                self.product.change(version[0], version, now)
            case "step", duty, kind, at:
                self._step(duty, kind, at, now)
            case "reopen", duty:
                self._reopen(duty, now)
            case "correct", duty, days:
                self._correct(duty, days, now)
            case _:  # a day on which one only looks
                pass

    def _step(self, duty: Owed, kind: str, at: int, now: int) -> None:
        if kind == "annulled" and duty.ended_at is not None:
            self._refused += 1  # a command: nothing is kept of it
            return
        denied = duty.state == "annulled" and at < (duty.ended_at or 0) < now
        self._denied += denied and kind != "annulled"
        taken = self.oracle.step(duty, kind, at, now)
        self._refused += not taken
        self.product.step(self._said(duty, StepKind(kind), at, now), now)

    def _said(self, duty: Owed, kind: StepKind, at: int, now: int) -> Step:
        self._steps += 1
        return Step(
            id=f"s{self._steps}",
            kind=kind,
            at=at,
            known_at=now,
            source="command",
            rule=duty.family,
            duty=duty.key,
            by="officer",
            reason="so it was",
        )

    def _reopen(self, duty: Owed, now: int) -> None:
        if duty.ended_at is not None:
            self._reopened += 1
            said = self._said(duty, StepKind.REOPENED, now, now)
            self.product.reopen((duty.family, duty.key), said, now)
            self.oracle.reopen(duty, now)

    def _correct(self, duty: Owed, days: int, now: int) -> None:
        """Correct the trigger day by some days, if the Measures were in force and it is over."""
        day = beijing(duty.trigger_at) + ONE * days
        if duty.over or not IN_FORCE <= day <= beijing(now) or duty.rule == "frt.file.legacy":
            return
        self._corrected += 1
        key = (duty.family, duty.key)
        self.product.correct(key, day, now)
        self.oracle.correct(duty, day, now)
        self._never_earlier[key] = max(day, self.product.duties[key].trigger_day)

    def _let_the_officer_plan(self, day: date) -> None:
        """Decide for every duty that is new what will be done about it, step by step."""
        for duty in self.oracle.duties:
            if (duty.family, duty.key) not in self._expected:
                self._expected.add((duty.family, duty.key))
                self._file(duty, day)
                early, _ = self.oracle.due(duty)
                for look in (early, early + ONE):
                    if day < look <= LAST:
                        self._at(look, "look")

    def _file(self, duty: Owed, day: date) -> None:
        rng, seen = self._rng, day
        if duty.rule != "frt.change" and rng.random() < 0.15:
            self._at(day + ONE * rng.randint(0, 60), "correct", duty, rng.randint(-12, 12))
        if rng.random() < 0.2:
            day += ONE * rng.randint(1, 80)
            self._plan_decision(duty, day)
            if self._late_ones.random() < 0.3:  # told after the decision, and happened before it
                self._tell_late(duty, seen, day)
            if rng.random() < 0.6:
                return
            day += ONE * rng.randint(1, 200)
            self._at(day, "reopen", duty)
        day += ONE * rng.choice((rng.randint(1, 45), rng.randint(1, 45), rng.randint(46, 300)))
        quick = rng.random() < 0.4
        over: date | None = self._begins(duty, seen, day)
        for _ in range(4):
            over = None if over is None else self._submit(duty, over, quick=quick)

    def _plan_decision(self, duty: Owed, day: date) -> None:
        """Plan an annulment: it holds from when it is said."""
        self._planned += 1
        said = day + ONE * self._rng.choice((0, 0, 0, 0, self._rng.randint(1, 40)))
        if said <= LAST:
            self._at(said, "step", duty, "annulled", instant(said, 86_390))

    def _tell_late(self, duty: Owed, seen: date, decided: date) -> None:
        """Plan a whole filing between the duty and the decision, of which one hears after both."""
        told = decided + ONE * self._late_ones.randint(1, 60)
        for kind in ("submitted", "completed"):
            self._planned += 1
            if told <= LAST:
                self._at(told, "step", duty, kind, instant(seen, 30_000 + self._planned))

    def _begins(self, duty: Owed, seen: date, day: date) -> date:
        """Return the day of the first submission that is answered as any: *day*, or another."""
        rng, (early, late) = self._rng, self.oracle.due(duty)
        if early != late and rng.random() < 0.4:  # returned before the last day is known
            day = seen + ONE * rng.randint(1, 5)
            self._plan_step(duty, "submitted", day)
            self._plan_step(duty, "returned", day + ONE * rng.randint(1, 4))
            return day + ONE * rng.randint(20, 90)
        if rng.random() < 0.4:  # at one of the ends, or between them
            near = early + ONE * rng.randint(-2, (late - early).days + 2)
            return near if near > seen else day
        return day

    def _submit(self, duty: Owed, day: date, *, quick: bool) -> date | None:
        """Plan a submission and its answer; return the day of the next one, if there is one."""
        rng = self._rng
        if rng.random() < 0.06:
            self._plan_step(duty, rng.choice(("completed", "returned", "failed")), day)
        self._plan_step(duty, "submitted", day)
        day += ONE * (rng.randint(1, 6) if quick else rng.randint(4, 40))
        answer = rng.choices(("completed", "returned", "failed"), (6, 3, 1))[0]
        if rng.random() < 0.05:
            return None  # never answered
        self._plan_step(duty, answer, day)
        if answer == "completed" and rng.random() < 0.12:
            day += ONE * rng.randint(1, 200)
            self._at(day, "reopen", duty)
            answer = "returned"  # what it should have been
            self._plan_step(duty, answer, day + ONE)
        if answer == "completed":
            return None
        day += ONE * rng.choice((rng.randint(1, 25), rng.randint(1, 25), rng.randint(20, 150)))
        if answer == "returned" and rng.random() < 0.2:
            self._plan_step(duty, "terminated", day)
            day += ONE * rng.randint(1, 30)
        return day

    def _plan_step(self, duty: Owed, kind: str, day: date) -> None:
        # A second later for each step, so that the order of a day is that of the plan.
        self._planned += 1
        at = instant(day, 30_000 + self._planned)
        # Some are told late, and so after what came later.
        told = day + ONE * self._rng.choice((0, 0, 0, 0, self._rng.randint(1, 40)))
        if told <= LAST:
            self._at(told, "step", duty, kind, at)

    # -- comparing -------------------------------------------------------------------------

    def _compare(self, day: date) -> None:
        now = instant(day, 86_399)
        wanted = {(one.family, one.key): self._of_oracle(one, day) for one in self.oracle.duties}
        found = {key: self._of_product(one, day, now) for key, one in self.product.duties.items()}
        if wanted != found:
            for key in sorted(wanted.keys() | found.keys()):
                if wanted.get(key) != found.get(key):
                    self.differences.append(
                        f"{day}: {key}: the oracle says {wanted.get(key)}, "
                        f"the product {found.get(key)}"
                    )
        self._check_days(day)
        self._check_nothing_is_swallowed(day)

    def _check_days(self, day: date) -> None:
        """The later true day is within every interval, and no trigger day ever moves later."""
        for key, duty in self.product.duties.items():
            held = self._never_earlier.setdefault(key, duty.trigger_day)
            if duty.trigger_day > held:
                self.differences.append(f"{day}: {key}: moved from {held} to a later day")
            self._never_earlier[key] = duty.trigger_day
            if not duty.deadline.provisional or duty.closed_at is not None:
                continue  # what has ended keeps the interval that was known then
            self._provisional += 1
            mine = next(o for o in self.oracle.duties if (o.family, o.key) == key)
            ends = (self.oracle.due(mine, days)[0] for days in self._true_days())
            if not any(duty.deadline.earliest <= true <= duty.deadline.latest for true in ends):
                self.differences.append(f"{day}: {key}: the true day is not in {duty.deadline}")

    def _true_days(self) -> Iterator[Days]:
        """Yield the days as they turned out to be, and so but for the December before.

        A day that is published is counted as it is, and no interval begins before the first that
        is not (LAW.md); only a notice that reaches back changes that.
        """
        turned_out = in_the_end(self._world)
        yield turned_out
        known = {day: work for day, work in self.oracle.days.of.items() if day.month == DECEMBER}
        yield Days(turned_out.of | known)

    def _check_nothing_is_swallowed(self, day: date) -> None:
        """The last crossing, and the last end of use, has a duty unless one said that it was none.

        Whatever the way from latch to latch is, and by which numbers.
        """
        held = self.product.duties
        done = [
            one.closed_at or 0
            for (family, _), one in held.items()
            if family == "frt.cancel" and one.life.state == "completed"
        ]
        lasts = {"frt.file": self.oracle.passings(), "frt.cancel": self.oracle.ends_of_use()}
        for family, instants in lasts.items():
            mine = [one for key, one in held.items() if key[0] == family]
            denied = [
                reached_at(one.trigger_at, one.proof)
                for one in mine
                if one.life.state == "annulled"
            ]
            if instants and instants[-1] > max([*done, *denied], default=0):
                owed = [one for one in mine if one.annulled is None]
                if not owed:
                    self.differences.append(f"{day}: {family}: {instants[-1]} was swallowed")

    def _of_oracle(self, duty: Owed, day: date) -> Seen:
        due = self.oracle.due(duty)
        status, over = duty.state, duty.ended_at
        if duty.left_at is not None:
            status, over = "annulled", duty.left_at
            self._left += 1
        if status == "open" and day > due[0]:
            status = "overdue"
            self._overdue += 1
        ended = None if over is None else beijing(over)
        clocks = [(rule, at, ends) for rule, at, ends in self.oracle.clocks(duty)]
        # An ended duty keeps the deadline that it ended with; the calendar goes on.
        days: Interval | None = due if ended is None else duty.kept
        near = ended is None and abs(due[0] - day) <= NEAR
        left = self.oracle.days.left(day, due[0]) if near else None
        trigger, in_time = beijing(duty.trigger_at), duty.in_time
        self._late += in_time is False
        return duty.rule, trigger, days, status, in_time, ended, left, clocks

    def _of_product(self, duty: Duty, day: date, now: int) -> Seen:
        deadline: Deadline = duty.deadline
        ended = None if duty.closed_at is None else beijing(duty.closed_at)
        near = ended is None and abs(deadline.earliest - day) <= NEAR
        clocks = [(rule, at, ends.days) for rule, at, ends in self.product.running(duty)]
        return (
            duty.rule,
            duty.trigger_day,
            deadline.days,
            duty.status(now).value,
            duty.in_time,
            ended,
            self.product.calendar.working_days_left(day, deadline) if near else None,
            clocks,
        )

    def _tally(self) -> Tally:
        duties = self.oracle.duties
        return Tally(
            duties=len(duties),
            legacy=sum(one.rule == "frt.file.legacy" for one in duties),
            second=sum(one.family == "frt.file" and one.key != "1" for one in duties),
            restated=self.product.restated,
            moved=self.product.moved,
            provisional=self._provisional,
            overdue=self._overdue,
            clocks=sum(len(one.history) for one in duties),
            refused=self._refused,
            reopened=self._reopened,
            corrected=self._corrected,
            left=self._left,
            late=self._late,
            denied=self._denied,
        )
