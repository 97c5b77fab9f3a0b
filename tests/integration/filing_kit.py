"""What people and events say of filings, and how duties stand then: for tests of filings."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Engine

from monitor.duties import Duty
from monitor.facts import Filed, Instant, Terminated, Version
from monitor.filings import StepKind
from monitor.store.filings_said import Decided, Recorded, StepSaid, decide, record
from monitor.store.keeping import Policy
from tests.builders import ACME
from tests.integration.feed import DAY, POLICY, Feed
from tests.integration.store_kit import NOW, duties, rows

FILE, CANCEL = "frt.file", "frt.cancel"
K = StepKind
LATER = NOW + 400 * DAY


def say(
    engine: Engine,
    kind: StepKind,
    at: str | Instant,
    *,
    rule: str = FILE,
    duty: str | None = None,
    reference: str | None = None,
    now: Instant = LATER,
    chosen: Policy = POLICY,
) -> Recorded:
    said = StepSaid(
        processor=ACME,
        kind=kind,
        rule=rule,
        duty=duty,
        at=date.fromisoformat(at) if isinstance(at, str) else at,
        by="privacy office",
        reference=reference,
    )
    return record(engine, said, chosen, now)


def judge(
    engine: Engine,
    kind: StepKind,
    *,
    rule: str = FILE,
    now: Instant = LATER,
    chosen: Policy = POLICY,
    **more: object,
) -> Recorded:
    said = Decided(
        processor=ACME,
        kind=kind,
        rule=rule,
        by="privacy office",
        reason="checked",
        **more,  # type: ignore[arg-type]  # by name
    )
    return decide(engine, said, chosen, now)


def filed(
    kind: str,
    at: Instant,
    *,
    rule: str | None = FILE,
    reference: str | None = None,
    sequence: int = 0,
) -> Filed:
    return Filed(ACME, kind, rule, None, reference, Version(at, sequence, 0), at)


def terminated(at: Instant) -> Terminated:
    return Terminated(ACME, Version(at, 0, 0), at)


def standing(engine: Engine, now: Instant = LATER) -> list[tuple[str, str, str]]:
    """Return rule, key and status of each duty that is no clock."""
    return [
        (duty.rule, duty.key, duty.status(now).value)
        for duty in duties(engine)
        if duty.rule not in {"frt.review", "frt.supplement"}
    ]


def running(engine: Engine, rule: str) -> list[Duty]:
    return [duty for duty in duties(engine) if duty.rule == rule]


def rows_of_steps(engine: Engine) -> list[Any]:
    return rows(engine, "steps")


def kinds(engine: Engine) -> list[str]:
    return [row.kind for row in rows(engine, "audit")]


def live(feed: Feed, *facts: Any, now: Instant) -> None:
    """Read *facts*, to the end of all that there is, and tick until nothing is waited for."""
    feed.read(0, facts, now)
    for later in (1, 3, 5):
        feed.at_end(0, now + later)
        feed.tick(now + later + 1)
