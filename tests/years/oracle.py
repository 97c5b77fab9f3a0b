"""What is owed in a world, by walking through it day by day; it shares no code with the product.

Days are walked one at a time from the trigger day on. A day of a year that no notice in force
speaks of is unknown: then the days that are known have been counted, and the rest is the plain
Monday-to-Friday answer, 3 days less to 10 days more, not before the first unknown day (LAW.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from tests.years.notices import ONE, SATURDAY, Notice

THRESHOLD = 100
IN_FORCE = date(2025, 6, 1)
LEGACY_DUE = date(2025, 7, 14)
DAYS = {"frt.file": 30, "frt.change": 30, "frt.cancel": 30, "review": 15, "supplement": 10}

Interval = tuple[date, date]

MAY_FOLLOW = {
    "open": {"submitted", "annulled"},
    "submitted": {"returned", "completed", "failed", "terminated", "annulled"},
    "returned": {"submitted", "terminated", "annulled"},
    "failed": {"submitted", "annulled"},
    "terminated": {"submitted", "annulled"},
    "completed": set[str](),
    "annulled": set[str](),
}


def beijing(instant: int) -> date:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant, hours=8)
    return moment.date()


class Days:
    """Which days are worked, by the notices of which one has heard."""

    def __init__(self) -> None:
        self.of: dict[date, bool] = {}
        self._due: dict[tuple[date, int], Interval] = {}

    def hear(self, notice: Notice) -> None:
        day = date(notice.year, 1, 1)
        while day.year == notice.year:
            weekday = day.weekday() < SATURDAY
            self.of[day] = day in notice.work or (weekday and day not in notice.off)
            day += ONE
        self._due.clear()

    def due(self, trigger: date, count: int) -> Interval:
        if (trigger, count) not in self._due:
            self._due[trigger, count] = self._walk(trigger, count)
        return self._due[trigger, count]

    def _walk(self, trigger: date, count: int) -> Interval:
        day, left = trigger, count
        while left:
            if day + ONE not in self.of:
                return self._estimate(day, left)
            day += ONE
            left -= self.of[day]
        return day, day

    @staticmethod
    def _estimate(known: date, left: int) -> Interval:
        plain = known
        while left:
            plain += ONE
            left -= plain.weekday() < SATURDAY
        return max(known + ONE, plain - ONE * 3), plain + ONE * 10

    def left(self, today: date, last: date) -> int:
        """Return the working days after *today* up to *last*; at least -1 once it is over."""
        first, end = min(today, last), max(today, last)
        count, day = 0, first
        while day < end:
            day += ONE
            count += self.of.get(day, day.weekday() < SATURDAY)
        return count if today <= last else -max(1, count)


@dataclass
class Owed:
    """One duty as the oracle knows it."""

    rule: str
    key: str
    trigger_at: int
    state: str = "open"
    history: list[tuple[int, str]] = field(default_factory=list)
    ended_at: int | None = None

    @property
    def family(self) -> str:
        return "frt.file" if self.rule == "frt.file.legacy" else self.rule


class Oracle:
    """Everything that is owed, by what was heard so far."""

    def __init__(self) -> None:
        self.days = Days()
        self.duties: list[Owed] = []
        self._moves: list[tuple[int, int]] = []
        self._terminated: list[int] = []
        self._latch = 1
        self._after: int | None = None

    # -- what is heard ---------------------------------------------------------------------

    def move(self, at: int, delta: int) -> None:
        self._moves.append((at, delta))
        self.look()

    def terminate(self, at: int) -> None:
        self._terminated.append(at)
        self.look()

    def change(self, at: int, key: str) -> None:
        known = any(one.rule == "frt.change" and one.key == key for one in self.duties)
        if beijing(at) >= IN_FORCE and not known:
            self.duties.append(Owed("frt.change", key, at))

    def step(self, duty: Owed, kind: str, at: int) -> bool:
        """Take a step if it may follow; return whether it did."""
        if kind not in MAY_FOLLOW[duty.state]:
            return False
        duty.state = kind
        duty.history.append((at, kind))
        if kind in {"completed", "annulled"}:
            duty.ended_at = at
            self.look()
        return True

    # -- what follows ----------------------------------------------------------------------

    def look(self) -> None:
        """Do what follows until nothing new does."""
        seen = None
        while seen != (seen := (len(self.duties), self._latch)):
            self._file()
            self._cancel()

    def _file(self) -> None:
        """The reach that is looked for; once reached, an end of it makes room for the next."""
        found = self._reach()
        if found is not None:
            self._found("frt.file", self._latch, found)
        mine = [
            one for one in self.duties if (one.family, one.key) == ("frt.file", str(self._latch))
        ]
        when = found if found is not None else mine[0].trigger_at if mine else None
        if when is None:
            return
        ends = [one.ended_at for one in mine if one.state == "annulled"]
        ends += [
            one.ended_at
            for one in self.duties
            if one.rule == "frt.cancel" and one.state == "completed"
        ]
        later = [at for at in ends if at is not None and at >= when]
        if later:
            self._latch += 1
            self._after = min(later)

    def _reach(self) -> int | None:
        number = 0
        for at in sorted({at for at, _ in self._moves}):
            before = number
            number += sum(delta for when, delta in self._moves if when == at)
            if before < THRESHOLD <= number and (self._after is None or at > self._after):
                return at
        return None

    def _cancel(self) -> None:
        """The first end of use after each end of a cancellation is one to be cancelled."""
        ends = [
            one.ended_at
            for one in self.duties
            if one.rule == "frt.cancel" and one.ended_at is not None
        ]
        for at in self._terminated:
            if beijing(at) >= IN_FORCE:
                self._found("frt.cancel", 1 + sum(end < at for end in ends), at)

    def _found(self, family: str, latch: int, at: int) -> None:
        """Open the duty of a trigger, or move the one there is to an earlier day."""
        early = beijing(at) < IN_FORCE
        rule = "frt.file.legacy" if early else family
        held = [one for one in self.duties if (one.family, one.key) == (family, str(latch))]
        if not held:
            self.duties.append(Owed(rule, str(latch), at))
        elif held[0].ended_at is None and beijing(at) < beijing(held[0].trigger_at):
            held[0].rule, held[0].trigger_at = rule, at

    # -- what can be seen ------------------------------------------------------------------

    def due(self, duty: Owed, days: Days | None = None) -> Interval:
        if duty.rule == "frt.file.legacy":
            return LEGACY_DUE, LEGACY_DUE
        return (days or self.days).due(beijing(duty.trigger_at), DAYS[duty.rule])

    def clocks(self, duty: Owed) -> Iterable[tuple[str, int, Interval]]:
        """Yield the authority's review clocks and our supplement clocks: rule, start, due."""
        for at, kind in duty.history:
            clock = {"submitted": "review", "returned": "supplement"}.get(kind)
            if clock is not None:
                yield clock, at, self.days.due(beijing(at), DAYS[clock])
