"""What the demo shows: read from facetally's database as any other client would, and nothing else.

No number here comes from the simulation.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.wiring import Monitor, clock, sources_of
from monitor.duties import as_json
from monitor.store import audit, owing, showing
from monitor.store.engine import reading
from monitor.store.names import Names
from monitor.store.reading import Status, status
from monitor.store.showing import Told

_RATE_OVER_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DutySeen:
    """A duty in the words of ``duties --json``."""

    processor: str
    rule: str
    status: str
    trigger_day: str
    due_day: str | None
    due_between: tuple[str, str] | None
    working_days_left: int | None
    calendar_version: str
    trigger_at: int
    individuals: int | None
    at_least: int | None
    verified: bool = True  # the number of the proof, when the duty was opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One consistent look at the database."""

    status: Status
    duties: Sequence[DutySeen]
    told: Sequence[Told]
    audit_entries: int
    audit_head: str
    records: int


def look(monitor: Monitor) -> Seen:
    """Read everything that is shown, in one transaction."""
    settings = monitor.settings
    now = clock()
    with reading(monitor.engine) as connection:
        names = Names.load(connection)
        duties = [duty for _, duty in owing.read_duties(connection, names)]
        entries, head = audit.head(connection)
        return Seen(
            status=status(connection, settings.rules, sources_of(settings), now),
            duties=[
                _duty(as_json(duty, now, monitor.calendar), duty.trigger_at) for duty in duties
            ],
            told=showing.told(connection),
            audit_entries=entries,
            audit_head=head,
            records=showing.offsets_read(connection),
        )


def _duty(said: dict[str, object], trigger_at: int) -> DutySeen:
    between, proof, left = said["due_between"], said["proof"], said["working_days_left"]
    proof = proof if isinstance(proof, dict) else {}
    return DutySeen(
        processor=str(said["processor"]),
        rule=str(said["rule"]),
        status=str(said["status"]),
        trigger_day=str(said["trigger_day"]),
        due_day=str(said["due_day"]) if said["due_day"] else None,
        due_between=(str(between[0]), str(between[1])) if isinstance(between, list) else None,
        working_days_left=left if isinstance(left, int) else None,
        calendar_version=str(said["calendar_version"]),
        trigger_at=trigger_at,
        individuals=proof.get("individuals"),
        at_least=proof.get("at_least"),
        verified=proof.get("verified", True) is True,
    )


class Rate:
    """Records a second over the latest seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def after(self, records: int) -> float:
        """Note that so many records are read now, and return the rate."""
        now = time.monotonic()
        self._points.append((now, records))
        while now - self._points[0][0] > _RATE_OVER_S:
            self._points.popleft()
        then, before = self._points[0]
        return (records - before) / (now - then) if now > then else 0.0
