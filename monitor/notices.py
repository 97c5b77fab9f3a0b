"""What somebody must be told, as values, and what the sender asks of the store.

A notice is written in the transaction of the change that it tells of; ``alerts`` claims it with
a lease, sends it, and marks it afterwards. So it arrives at least once, and its key lets the
receiver drop a repeat. Nothing in a notice is about a person: names are those of organisations
and places, numbers are counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

from monitor.facts import Instant

BodyValue: TypeAlias = str | int | bool | None
Body: TypeAlias = Mapping[str, BodyValue]
"""Plain facts, such as ``trigger_day``, ``due_day`` or ``due_between`` (``"FIRST/LAST"``),
``individuals``, ``at_least``, ``calendar_version``, ``audit_head``. Days are ``YYYY-MM-DD``."""

NEWS_OF_DUTIES: Instant = 60 * 24 * 3600 * 1_000_000
"""How far back a new channel is told of duties: longer than 30 working days ever last."""

NEWS_OF_PAGES: Instant = 3 * 24 * 3600 * 1_000_000
"""How far back a new channel is told of pages that nobody has acknowledged: a long weekend."""

LONGEST_PAUSE: Instant = 3600 * 1_000_000
"""No sender waits longer before it tries again."""

# A key travels in headers and in signed text, where a full stop would end it.
_KEY = re.compile(r"[A-Za-z0-9_:/-]{1,200}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Kind(StrEnum):
    """Why there is a notice. Closed list: receivers route by it."""

    DUTY_OPENED = "duty_opened"
    DUTY_MOVED = "duty_moved"  # to an earlier day, at once
    DUE_SETTLED = "due_settled"  # a provisional deadline, by a published calendar
    DUE_MOVED = "duty_due_moved"  # to another day, by a corrected calendar or rule
    DUTY_CLOSED = "duty_closed"
    RESTATEMENT_WAITS = "restatement_waits"  # a later day, or none: for a person to decide
    DUTY_REOPENED = "duty_reopened"  # what ended it was taken back
    DUTY_CORRECTED = "duty_corrected"  # its trigger day, by a person
    FILING_STEP = "filing_step"  # something happened to a filing
    FILING_REFUSED = "filing_refused"  # told, and not legal where it stands
    FILING_WAITING = "filing_waiting"  # told, and there is no duty that it could be about
    FACES_REMAIN = "faces_remain"  # after the end of use
    ENROLLED_AFTER_END = "enrolled_after_end"
    CHANGE_PROPOSED = "change_proposed"  # for a person to confirm or dismiss
    REACH_UNCONFIRMED = "reach_unconfirmed"
    GAP = "gap"
    DATABASE_RESTORED = "database_restored"  # Kafka's group has read further than we know
    RECOUNT_OVERDUE = "recount_overdue"  # a look back has been due for too long
    FILE_UNFINISHED = "file_unfinished"  # its ``apply`` died: no reach is confirmed
    THRESHOLD_APPROACHED = "threshold_approached"  # an early warning: a share of it is passed
    FORECAST_NEAR = "forecast_near"  # a threshold may be reached within the lead time
    SOURCE_SILENT = "source_silent"
    SOURCE_HEARD = "source_heard"  # a record again, after a silence that was told
    NUMBER_ACCEPTED = "number_accepted"  # by a person, who compared it with the source
    PARTITION_STOPPED = "partition_stopped"  # too many rejects
    LOG_WENT_BACK = "log_went_back"
    CLOCK_BEHIND = "clock_behind"  # the broker dates records ahead of our clock
    SETTINGS_REPLACED = "settings_replaced"  # a worker has others than who started last
    REMINDER = "reminder"  # of a duty, by the working days that are left
    ESCALATED = "escalated"  # a page that nobody has acknowledged, to the next ones
    WATCHDOG_SILENT = "watchdog_silent"  # of the dead-man's receiver, which keeps no outbox
    WATCHDOG_HEARD = "watchdog_heard"  # likewise, after a silence that was told
    TEST = "test"


PAGED_AGAIN: frozenset[Kind] = frozenset({Kind.DUTY_REOPENED, Kind.FILING_STEP})
"""A page of one of these tells that a duty is owed again."""


class Severity(StrEnum):
    """Whether somebody is woken up, told, or may read it later. The most urgent is told first."""

    PAGE = "page"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to be told, once per channel.

    *key* is the idempotency key, see ``key_of``; *duty* is the key of the duty within its
    processor and rule, for notices about one. *channel* is the only one that is owed it; None: all.
    Raises ValueError for what no channel could carry.
    """

    key: str
    kind: Kind
    severity: Severity
    processor: str | None = None
    rule: str | None = None
    duty: str | None = None
    created_at: Instant
    body: Body = field(default_factory=dict)
    channel: str | None = None

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError("the key of a notice is 1 to 200 of A-Z a-z 0-9 _ : / -")
        for name in (self.processor, self.rule, self.duty):
            _check_text(name or "")
        object.__setattr__(self, "body", _frozen(self.body))


class Delivery(NamedTuple):
    """How far one notice has got on one channel. ``sent_at`` is None until it is delivered."""

    key: str
    channel: str
    attempts: int
    not_before: Instant
    sent_at: Instant | None


class Claim(NamedTuple):
    """The right to send *notice* on *channel* until the lease ends; *attempts* counts this one."""

    notice: Notice
    channel: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDuty:
    """A duty that is owed now: a state, to be shown for as long as it lasts.

    *again* is the key of the newest page that told that it is owed again; None: there was none.
    *former* are what *again* was before.
    """

    processor: str
    rule: str
    duty: str
    opened_at: Instant
    body: Body = field(default_factory=dict)
    again: str | None = None
    former: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.processor, self.rule, self.duty):
            _check_text(name)
        object.__setattr__(self, "body", _frozen(self.body))


class Skip(NamedTuple):
    """Why a channel is not to tell a notice: a word, and the number of the silence if it is one.

    If there are channels that tell it *instead*, it is only skipped if somebody does tell it.
    """

    why: str
    silence: int | None = None
    instead: frozenset[str] = frozenset()


NOT_ROUTED = Skip("not_routed")
"""The routes give it to other channels."""

LATER = Skip("later")
"""Those who are told work at another time; then they get the step of its escalation."""

ACKNOWLEDGED = Skip("acknowledged")
"""Somebody has acknowledged the page that it escalates, or it, minutes before or before there was
this channel."""

SUPERSEDED = Skip("superseded")
"""The next reminder of its duty, or the next round of its step, is told on this channel."""


OVER = Skip("over")
"""Nobody is called by it any more: acknowledged, or its matter ended, while the channel was away,
had failed, or before there was one; or a newer page tells that its duty is owed again, or due
earlier."""


class Reached(NamedTuple):
    """Whom a notice reaches on a channel: *people* by name, as a *step* of an *escalation*."""

    people: str | None = None
    escalation: str | None = None
    step: int | None = None


NOBODY_NAMED = Reached()
"""The channel itself."""


class Told(NamedTuple):
    """A notice that a channel has delivered, and when, by the clock of its sender.

    *lasting*: it is a page that nobody has acknowledged, and its matter is not over.
    """

    notice: Notice
    sent_at: Instant
    lasting: bool = False


class ClosedDuty(NamedTuple):
    """A duty by which nobody has to act any more: submitted, completed or annulled.

    *again* is as of an ``OpenDuty``.
    """

    processor: str
    rule: str
    duty: str
    opened_at: Instant
    closed_at: Instant
    again: str | None = None


class Waiting(NamedTuple):
    """What one channel has not delivered yet; *oldest* is the earliest ``created_at``.

    *failing* of them have been tried at least once and are not leased out for the first time.
    """

    channel: str
    notices: int
    failing: int
    oldest: Instant


class Outbox(Protocol):
    """What the sender asks of the store. Every call is one transaction, blocking, thread-safe.

    A notice written by the monitor can be claimed at once on every known channel.
    """

    def ensure(self, channels: Sequence[str], now: Instant) -> None:
        """Make *channels* the known ones; call at start and now and then, it repairs.

        Each is owed every notice created since it became known, those about a duty of the
        ``NEWS_OF_DUTIES`` before that, and those that no channel has delivered. Also pages that
        nobody has acknowledged: of the ``NEWS_OF_PAGES`` before that, though others have told
        them, and of whatever age if a channel that was left out owes them still.

        A channel left out is owed nothing new and shown no more; its deliveries are kept, and whom
        routes had passed over for it is owed them again. So is what every channel was passed over
        for. One that comes back is owed what it had not told, and else what a new one is: it
        became known when it came back. What is ``OVER`` by then is skipped as that, on a channel
        that comes back, a new one, and one that others had been told in place of.
        """

    def claim(self, channel: str, now: Instant, lease_us: int) -> Claim | None:
        """Take the notice of *channel* that has been due longest, or None if none is due.

        A page goes before a warning, and that before what is only told.

        Moves its ``not_before`` to *now* + *lease_us* and counts the attempt, guarded by the
        count, so that of two callers one gets it. Who dies with a claim loses it with time.
        What was put off by a sender whose clock was ahead of *now* by more than a lease is due
        now. Whose clock wrote the notice never matters.
        """

    def sent(self, claim: Claim, now: Instant, answer: str, to: Reached = NOBODY_NAMED) -> None:
        """Mark as delivered, even if the lease has run out: it has arrived. First mark stays."""

    def failed(self, claim: Claim, again_at: Instant, error: str) -> None:
        """Keep *error* to be shown, due again at *again_at*; no effect on a lease lost since."""

    def skipped(self, claim: Claim, now: Instant, skip: Skip) -> bool:
        """Mark as not to be told on this channel: neither delivered nor owed. First mark stays.

        Of those who tell it *instead*, who was passed over is owed it again, whoever else has it.
        False, and no mark, if nobody tells it, if it was passed to and fro, or if the silence that
        kept it back has ended since: then it is for this channel all the same.
        """

    def open_duties(self) -> Sequence[OpenDuty]:
        """Return every duty that is owed now, with its current days."""

    def closed_duties_since(self, since: Instant) -> Sequence[ClosedDuty]:
        """Return the duties closed at or after *since*."""

    def told_since(self, channel: str, since: Instant, until: Instant) -> Sequence[Told]:
        """Return what *channel* has delivered after *since*, up to *until*, oldest first."""

    def waiting(self) -> Sequence[Waiting]:
        """Return what the known channels have not delivered; a channel with nothing is absent."""


def key_of(kind: Kind, *parts: str) -> str:
    """Return the key of the notice of *kind* about *parts*: the same for ever, any text goes."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part.encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return f"{kind}:{digest.hexdigest()}"


def body_text(body: Body) -> str:
    """Return *body* as JSON with sorted names, as it is kept in a text column."""
    return json.dumps(dict(body), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def body_from(text: str) -> Body:
    """Return the body that ``body_text`` gave. Raises ValueError for anything else."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the body of a notice is a JSON object")  # noqa: TRY004 - one error for all
    return _frozen(found)


def _frozen(body: Body) -> Body:
    for name, value in body.items():
        if not _NAME.fullmatch(name):
            raise ValueError("the names in a body are 1 to 64 of a-z 0-9 _")
        if isinstance(value, str):
            _check_text(value)
        elif not isinstance(value, int | None):
            raise ValueError(f"{name} in a body is no plain value")  # noqa: TRY004 - as above
    return MappingProxyType(dict(body))


def _check_text(text: str) -> None:
    """Refuse what cannot be sent: it would be tried for ever."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text of a notice has a lone surrogate") from None
