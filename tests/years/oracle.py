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

    def __init__(self, of: dict[date, bool] | None = None) -> None:
        self.of = of or {}
        self._due: dict[tuple[date, int], Interval] = {}

    def hear(self, notice: Notice) -> None:
        day = date(notice.year, 1, 1)
        while day.year == notice.year:
            weekday = day.weekday() < SATURDAY
            self.of[day] = day in notice.work or (weekday and day not in notice.off)
            day += ONE
        for said in notice.off | notice.work:
            if said.year < notice.year and said in self.of:  # December: the later notice holds
                self.of[said] = said in notice.work
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
    """One duty as the oracle knows it; *reached* is when, by what was heard of the number.

    *decided* is the day that was known by what was heard when an officer decided on another.
    """

    rule: str
    key: str
    trigger_at: int
    reached: int
    state: str = "open"
    history: list[tuple[int, str]] = field(default_factory=list)
    ended_at: int | None = None
    after: int | None = None  # what it had to come after when its day was found
    left_at: int | None = None  # an earlier one is owed again, instead of this one
    decided: date | None = None
    kept: Interval | None = None  # its last day, or what was known of it when it ended
    heard: list[tuple[int, str, int]] = field(default_factory=list)  # the last: when it was heard

    @property
    def family(self) -> str:
        return "frt.file" if self.rule == "frt.file.legacy" else self.rule

    @property
    def over(self) -> bool:
        return self.ended_at is not None or self.left_at is not None

    @property
    def in_time(self) -> bool | None:
        """Whether it was first submitted on its last day or before; None: nobody can say."""
        met = next((at for at, kind in self.history if kind == "submitted"), None)
        if met is None or self.kept is None:
            return None
        early, late = self.kept
        if early < beijing(met) <= late:
            return None
        return beijing(met) <= early

    @property
    def met(self) -> bool:
        return any(kind == "submitted" for _, kind in self.history)

    def replay(self) -> None:
        """Live through what was heard of it once more."""
        self.state, self.history, self.ended_at = "open", [], None
        # Once somebody decided that it is not owed, nothing that is heard later is about it.
        denied = [heard for _, kind, heard in self.heard if kind == "annulled"]
        for at, kind, heard in sorted(self.heard, key=lambda one: one[0]):
            if denied and heard > min(denied):
                continue
            if kind in MAY_FOLLOW[self.state]:
                self.state = kind
                self.history.append((at, kind))
        if self.state in {"completed", "annulled"}:
            self.ended_at = self.history[-1][0]


class Oracle:
    """Everything that is owed, by what was heard so far."""

    def __init__(self) -> None:
        self.days = Days()
        self.duties: list[Owed] = []
        self._moves: list[tuple[int, int]] = []
        self._terminated: list[int] = []
        self._now = 0

    # -- what is heard ---------------------------------------------------------------------

    def move(self, at: int, delta: int, now: int) -> None:
        self._moves.append((at, delta))
        self.look(now)

    def terminate(self, at: int, now: int) -> None:
        self._terminated.append(at)
        self.look(now)

    def change(self, at: int, key: str) -> None:
        known = any(one.rule == "frt.change" and one.key == key for one in self.duties)
        if beijing(at) >= IN_FORCE and not known:
            self.duties.append(Owed("frt.change", key, at, at))

    def step(self, duty: Owed, kind: str, at: int, now: int) -> bool:
        """Hear of a step; return whether it was one that may follow."""
        legal = kind in MAY_FOLLOW[duty.state]
        duty.heard.append((at, kind, now))
        duty.replay()
        self.look(now)
        return legal

    def reopen(self, duty: Owed, now: int) -> None:
        """Forget what ended a duty in the way in which it ended."""
        ended = duty.state
        while duty.ended_at is not None and duty.state == ended:
            duty.heard.remove(next(one for one in duty.heard if one[:2] == duty.history[-1]))
            duty.replay()
        self.look(now)

    def correct(self, duty: Owed, day: date, now: int) -> None:
        """Have a duty begin on the day that an officer decided on."""
        if day == beijing(duty.trigger_at):
            return
        found: int | None = duty.reached
        if duty.family == "frt.file" and duty.key == str(self._way("frt.file")[-1][0]):
            found = self._reach(self._way("frt.file")[-1][1])
        midnight = datetime.combine(day, datetime.min.time(), tzinfo=UTC) - timedelta(hours=8)
        duty.trigger_at = int(midnight.timestamp()) * 1_000_000
        duty.decided = None
        if found is not None:
            duty.reached, duty.decided = found, beijing(found)
            duty.trigger_at = found if duty.decided == day else duty.trigger_at
        self.look(now)

    # -- what follows ----------------------------------------------------------------------

    def look(self, now: int) -> None:
        """Do what follows until nothing new does."""
        seen = -1
        while seen != len(self.duties):
            seen = len(self.duties)
            self._leave(now)
            self._file()
            self._cancel()
        self._leave(now)

    def _way(self, family: str) -> list[tuple[int, int | None]]:
        """Go from duty to duty: each with what it had to come after, the last may be to come."""
        held = {int(one.key): one for one in self.duties if one.family == family}
        way: list[tuple[int, int | None]] = [(1, None)]
        while (one := held.get(way[-1][0])) is not None:
            ends = self._ends_of(one)
            if not ends:
                break
            after = max(ends[0], one.reached)
            free = [n for n in range(len(held) + 2) if n not in held or held[n].reached > after]
            number = min(n for n in free if n > way[-1][0])
            following = held.get(number)
            if following is not None and following.met and following.after is not None:
                after = max(after, following.after)  # what was filed stays filed for its own
            way.append((number, after))
        return way

    def _ends_of(self, duty: Owed) -> list[int]:
        """Return what makes room for the next duty, the earliest first."""
        if duty.state == "annulled":
            return [duty.reached]
        if duty.rule == "frt.cancel" and duty.ended_at is not None:
            return [duty.ended_at]
        cancelled = [
            one.ended_at
            for one in self.duties
            if one.rule == "frt.cancel" and one.state == "completed" and one.ended_at is not None
        ]
        return sorted(at for at in cancelled if at >= duty.reached)

    def _leave(self, now: int) -> None:
        """Leave behind what is not on the way, and take up again what is."""
        for family in ("frt.file", "frt.cancel"):
            keys = {str(number) for number, _ in self._way(family)}
            for one in self.duties:
                if one.family == family:
                    left = one.key not in keys and one.ended_at is None
                    one.left_at = (one.left_at or now) if left else None

    def _file(self) -> None:
        """The reach that is looked for now, and those before it that began earlier."""
        while any(self._move_older(*one) for one in self._way("frt.file")[:-1]):
            pass
        number, after = self._way("frt.file")[-1]
        found = self._reach(after)
        if found is not None:
            self._found("frt.file", number, found, after)

    def _move_older(self, number: int, after: int | None) -> bool:
        held = [one for one in self.duties if (one.family, one.key) == ("frt.file", str(number))]
        found = self._reach(after)
        if not held or found is None or beijing(found) >= beijing(held[0].trigger_at):
            return False
        if found > held[0].reached or held[0].over or held[0].decided == beijing(found):
            return False
        self._found("frt.file", number, found, after)
        return True

    def _reach(self, after: int | None) -> int | None:
        return next((at for at in self.passings() if after is None or at > after), None)

    def passings(self) -> list[int]:
        """Return when the number passed the threshold from below."""
        number, found = 0, []
        for at in sorted({at for at, _ in self._moves}):
            before = number
            number += sum(delta for when, delta in self._moves if when == at)
            if before < THRESHOLD <= number:
                found.append(at)
        return found

    def _cancel(self) -> None:
        """The first end of use after each duty's end is one to be cancelled."""
        way = self._way("frt.cancel")
        told = self.ends_of_use()
        for (number, after), (_, until) in zip(way, [*way[1:], (0, None)], strict=True):
            later = [at for at in told if after is None or at > after]
            if later and (until is None or later[0] <= until):
                self._found("frt.cancel", number, later[0], after)

    def ends_of_use(self) -> list[int]:
        return sorted(at for at in self._terminated if beijing(at) >= IN_FORCE)

    def _found(self, family: str, latch: int, at: int, after: int | None) -> None:
        """Open the duty of a trigger, or move the one there is to an earlier day."""
        day = beijing(at)
        rule = "frt.file.legacy" if day < IN_FORCE else family
        held = [one for one in self.duties if (one.family, one.key) == (family, str(latch))]
        if not held:
            self.duties.append(Owed(rule, str(latch), at, at, after=after))
            return
        one, was = held[0], beijing(held[0].trigger_at)
        same = day == was and family == "frt.file"
        earlier = day < was and day != one.decided and not one.over
        if same or earlier:
            one.trigger_at = one.reached = at
            one.after = after
            one.decided = None
        if earlier:
            one.rule = rule

    # -- what can be seen ------------------------------------------------------------------

    def due(self, duty: Owed, days: Days | None = None) -> Interval:
        if duty.rule == "frt.file.legacy":
            return LEGACY_DUE, LEGACY_DUE
        return (days or self.days).due(beijing(duty.trigger_at), DAYS[duty.rule])

    def keep_days(self) -> None:
        """Note the last days as they are known now.

        What is over keeps its own, but where it takes a later year to say if it was in time.
        """
        for one in self.duties:
            due = self.due(one)
            settles = one.met and one.in_time is None and due[0] == due[1]
            if not one.over or settles:
                one.kept = due

    def clocks(self, duty: Owed) -> Iterable[tuple[str, int, Interval]]:
        """Yield the authority's review clocks and our supplement clocks: rule, start, due."""
        for at, kind in duty.history:
            clock = {"submitted": "review", "returned": "supplement"}.get(kind)
            if clock is not None:
                yield clock, at, self.days.due(beijing(at), DAYS[clock])
