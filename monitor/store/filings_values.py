"""What a person can say of a filing or a duty, as values, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import Step, StepKind


class NotRecorded(ValueError):
    """What was said cannot be recorded; the message says why, and what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSaid:
    """Something happened to a filing, on a day in Beijing or at an instant.

    *duty* is the key, for a processor that has several duties under *rule*. *individuals* is the
    number that was filed, of a submission; None: the number of now.
    """

    processor: str
    kind: StepKind
    rule: str
    at: Instant | date
    by: str
    duty: str | None = None
    reason: str | None = None
    reference: str | None = None
    individuals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A person's decision about a duty: annulled, reopened, or corrected.

    A correction gives the trigger day as it should be, or the id of a step to be taken back.
    """

    processor: str
    kind: StepKind
    rule: str
    by: str
    reason: str
    duty: str | None = None
    trigger_day: date | None = None
    withdraws: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The duty as it is now; *new* is False for what was known already.

    None: a step was taken back that waited for its duty. *stays* are the submissions that were
    told of a duty before it was annulled: they stay with it, and meet no other one.
    """

    duty: Duty | None
    step: str
    new: bool
    stays: tuple[Step, ...] = ()
