"""The clocks that the steps of a filing start: the authority's review, and our supplement.

15 and 10 working days by the CAC's filing guide. They follow from the steps alone, so they are the
same in whatever order those were told. Pure: nothing here reads a clock or a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from monitor.filings import (
    FILINGS,
    REVIEW,
    SUPPLEMENT,
    UNTOUCHED,
    Life,
    Step,
    StepKind,
    Target,
    family,
)


class Clock(NamedTuple):
    """A clock that a step of a filing started: *key* is that of its duty under *rule*.

    *ended* is the step that ended it, with the state that this leaves it in.
    """

    rule: str
    key: str
    step: Step
    ended: Step | None


def clocks(target: Target, life: Life) -> Iterator[Clock]:
    """Yield the review clock of each submission and the supplement clock of each return.

    A supplement that was not made ends as terminated; whatever answers a review completes it.
    """
    of = family(target.rule)
    if of not in FILINGS:
        return
    for step, following in zip(life.taken, (*life.taken[1:], None), strict=False):
        rule = {StepKind.SUBMITTED: REVIEW, StepKind.RETURNED: SUPPLEMENT}.get(step.kind)
        if rule is not None:
            told = f".{step.sequence}" if step.sequence else ""  # of several in one instant
            yield Clock(rule, f"{of}.{target.key}.{step.at}{told}", step, following)


def clock_life(clock: Clock) -> Life:
    """Return the life of the duty that *clock* is."""
    if clock.ended is None:
        return UNTOUCHED
    kind = StepKind.COMPLETED
    terminated = clock.rule == SUPPLEMENT and clock.ended.kind is StepKind.TERMINATED
    if terminated or clock.ended.kind is StepKind.ANNULLED:
        kind = clock.ended.kind
    ended = Step(
        id=clock.ended.id,
        kind=kind,
        at=clock.ended.at,
        known_at=clock.ended.known_at,
        source=clock.ended.source,
        rule=clock.rule,
        duty=clock.key,
        by=clock.ended.by,
        reason=clock.ended.reason,
    )
    return Life((ended,))
