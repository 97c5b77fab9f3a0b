"""Which duty of a rule is in force, where several of its latch were opened one after the other.

A duty is superseded when its latch is not in force any more: the one before it is owed again, or
what armed its latch does not hold. Pure: nothing here reads a clock or a database.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.duties import Duty
from monitor.filings import State, family
from monitor.latches import SUPERSEDED

_WORDS = "the duty before it is owed again, or what armed its latch does not hold any more"


def because(annulled: str | None) -> str | None:
    """Return why a duty was *annulled*, in words."""
    return _WORDS if annulled == SUPERSEDED else annulled


def newest(duties: Sequence[Duty]) -> Duty:
    """Return the one that is meant where none is named: the newest that nobody annulled.

    *duties* are in the order of opening, and at least one.
    """
    return next((one for one in reversed(duties) if one.annulled is None), duties[-1])


def superseded_by(duty: Duty, duties: Sequence[Duty]) -> Duty | None:
    """Return the duty that is owed instead of *duty*; None: *duty* is in force, or none is yet.

    *duties* are all of the processor, in the order of opening.
    """
    if duty.annulled != SUPERSEDED or duty.life.state is State.ANNULLED:
        return None
    of_rule = [one for one in duties if family(one.rule) == family(duty.rule)]
    found = newest(of_rule)
    return found if found.annulled is None else None
