"""A world of its own for what is rare in drawn ones: an older duty that moves to an earlier day.

Its use was cancelled and begun again, so that another latch is armed; then one hears of what was
so before the first duty began.
"""

from __future__ import annotations

from datetime import date

from tests.years.notices import ONE
from tests.years.story import World
from tests.years.worlds import FIRST, calendars, instant

REACHED, ENDED, AGAIN = date(2026, 3, 2), date(2026, 3, 10), date(2026, 6, 1)
EARLIER, HEARD = date(2026, 2, 10), date(2026, 7, 1)


class OlderWorld(World):
    """Nothing in it is drawn but the calendars."""

    def _plan(self) -> None:
        for on, notice, calendar in calendars(0):
            self._at(max(on, FIRST), "notice", notice, calendar)
        for day, delta in ((FIRST, 90), (REACHED, 20), (ENDED + ONE, -60), (AGAIN, 60)):
            self._at(day, "move", instant(day), delta)
        self._at(ENDED, "terminate", instant(ENDED))
        self._at(HEARD, "move", instant(EARLIER), 15)

    def _let_the_officer_plan(self, day: date) -> None:
        """Have the cancellation submitted and completed, and nothing else."""
        for duty in self.oracle.duties:
            if duty.rule == "frt.cancel" and not duty.heard and day == ENDED:
                for later, kind in ((2, "submitted"), (9, "completed")):
                    told = ENDED + ONE * later
                    self._at(told, "step", duty, kind, instant(told))
