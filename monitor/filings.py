"""The life of a filing: which steps are legal in which state, and what a set of steps comes to.

A step is something that happened to a filing (it was submitted, returned, ..) or that a person
decided about a duty (annulled, reopened, corrected). Steps may come late, twice and in any order:
they are folded by ``at``, at equal instants by their source's sequence and then by a fixed rank,
so the same steps always come to the same states. A step that is not legal where it stands is kept,
and shown as refused or, while there is no duty that it could be about, as waiting. Nothing here
reads a clock or a database.

Sources of the law: Order No. 19 (CAC, MPS) art. 15 and the CAC's filing guide: materials are
reviewed within 15 working days; what is returned is supplemented within 10, else the procedure is
terminated. After a failure or a termination the filing is still owed, and may be submitted again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from monitor.facts import Instant
from monitor.rules import SHIPPED
from monitor.workdays import beijing_day

FILE, CHANGE, CANCEL = "frt.file", "frt.change", "frt.cancel"
REVIEW, SUPPLEMENT = "frt.review", "frt.supplement"

FILINGS: Final = frozenset({FILE, CHANGE, CANCEL})
"""The rules of Art. 15 whose duties are met by a filing that the authority reviews."""

CLOCKS: Final = frozenset({REVIEW, SUPPLEMENT})
"""The rules whose duties follow from the steps of a filing; no step is ever about one of them."""

_LEGACY: Final = {rule.id: rule.legacy_of for rule in SHIPPED if rule.legacy_of is not None}


def family(rule: str) -> str:
    """Return the rule that a legacy row stands in for, and any other rule itself."""
    return _LEGACY.get(rule, rule)


def of_family(rule: str) -> frozenset[str]:
    """Return *rule* and those that a duty under it may turn into, or have come from."""
    return frozenset({rule, family(rule), *(one for one in _LEGACY if family(one) == family(rule))})


class StepKind(StrEnum):
    """What can happen to a filing, in the order in which steps of one instant are taken."""

    SUBMITTED = "submitted"
    RETURNED = "returned"
    FAILED = "failed"
    TERMINATED = "terminated"
    COMPLETED = "completed"
    ANNULLED = "annulled"
    REOPENED = "reopened"
    CORRECTED = "corrected"


class State(StrEnum):
    """How far a filing has got; each but the first is named after the step that led to it."""

    OPEN = "open"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    ANNULLED = "annulled"


_DECIDED: Final = frozenset({StepKind.ANNULLED, StepKind.REOPENED, StepKind.CORRECTED})
_TAKES_BACK: Final = frozenset({StepKind.REOPENED, StepKind.CORRECTED})
_ANSWERS: Final = (
    StepKind.RETURNED,
    StepKind.COMPLETED,
    StepKind.FAILED,
    StepKind.TERMINATED,
)
_ANY_TIME: Final = (StepKind.ANNULLED, StepKind.CORRECTED)

LEGAL: Final[Mapping[State, tuple[StepKind, ...]]] = {
    State.OPEN: (StepKind.SUBMITTED, *_ANY_TIME),
    State.SUBMITTED: (*_ANSWERS, *_ANY_TIME),
    State.RETURNED: (StepKind.SUBMITTED, StepKind.TERMINATED, *_ANY_TIME),
    State.FAILED: (StepKind.SUBMITTED, *_ANY_TIME),
    State.TERMINATED: (StepKind.SUBMITTED, *_ANY_TIME),
    State.COMPLETED: (StepKind.REOPENED,),
    State.ANNULLED: (StepKind.REOPENED,),
}
"""The steps that are legal in each state. A step leads to the state of its name; ``reopened``
takes back what ended the duty, and ``corrected`` leaves the state as it is."""

OWED: Final = frozenset({State.OPEN, State.FAILED, State.TERMINATED})
"""The states in which it is for us to submit."""

ENDS: Final = frozenset({State.COMPLETED, State.ANNULLED})
"""The states in which nothing is owed any more."""

_RANK: Final = {kind: rank for rank, kind in enumerate(StepKind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. *id* is its idempotency key: the same step has the same one wherever it is told.

    *rule* and *duty* (the key of a duty) say which duty it is about; where they are not told, the
    fold finds out. *at* is event time, *known_at* when we knew. Of a person's decision *by* and
    *reason* are known; *withdraws* is the id of a step that it takes back, as if that had never
    been told. *source* is ``command`` or the topic. In *detail* ``dated`` says that only the day
    was told, and ``sequence`` is the producer's number, where it has one.
    """

    id: str
    kind: StepKind
    at: Instant
    known_at: Instant
    source: str
    rule: str | None = None
    duty: str | None = None
    by: str | None = None
    reason: str | None = None
    reference: str | None = None
    withdraws: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a step needs an id")
        if self.kind in _DECIDED and not (self.by and self.reason and self.duty and self.rule):
            raise ValueError(f"{self.kind} needs the duty, who decided it, and why")
        if self.withdraws is not None and self.kind not in _TAKES_BACK:
            raise ValueError("only a correction or a reopening takes another step back")

    @property
    def sequence(self) -> int:
        """The producer's number of the event; 0 where it has none, and for commands."""
        number = self.detail.get("sequence")
        return number if isinstance(number, int) else 0

    @property
    def dated(self) -> bool:
        """Whether only its day was told: *at* is some instant of that."""
        return self.detail.get("dated") is True


class Target(NamedTuple):
    """A duty that steps can be about; *rule* may be a legacy row.

    *since*, if a person moved it to a later day, is its trigger by the facts.
    """

    rule: str
    key: str
    trigger_at: Instant
    since: Instant | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """The steps that made a duty what it is, oldest first; what was reopened is not among them."""

    taken: tuple[Step, ...] = ()

    @property
    def state(self) -> State:
        """How far it has got, by all that is known."""
        return State(self.taken[-1].kind.value) if self.taken else State.OPEN

    def state_at(self, now: Instant) -> State:
        """Return how far it had got at *now*, by what is known today."""
        return Life(tuple(step for step in self.taken if step.at <= now)).state

    @property
    def ended(self) -> Step | None:
        """The step after which nothing is owed any more, if there is one."""
        return self.taken[-1] if self.state in ENDS else None

    @property
    def submitted_at(self) -> Instant | None:
        """When it was first submitted: what the duty's own clock is compared with."""
        found = (step.at for step in self.taken if step.kind is StepKind.SUBMITTED)
        return next(found, None)

    @property
    def legal(self) -> tuple[StepKind, ...]:
        """The steps that may come next."""
        return LEGAL[self.state]

    def after(self, step: Step) -> Life:
        """Return the life with a legal *step* more. Raises Illegal for any other."""
        if step.kind not in self.legal:
            raise Illegal(self.state, step.kind)
        if step.kind is StepKind.CORRECTED:
            return self
        if step.kind is StepKind.REOPENED:
            return Life(self.taken[:-1])
        return Life((*self.taken, step))

    def repeats(self, step: Step, *, to_the_letter: bool) -> bool:
        """Tell whether *step* says again what is known."""
        return self.repeated(step, to_the_letter=to_the_letter) is not None

    def repeated(self, step: Step, *, to_the_letter: bool) -> Step | None:
        """Return the step that *step* says again, if it does.

        To the letter: a step of its kind with its instant, or its day and reference; and an event
        of the day that was all a person told. Else the newest step is of its kind and of its day in
        Beijing. A reference that differs is another.
        """
        for one in self.taken if to_the_letter else self.taken[-1:]:
            if one.kind is not step.kind or not _may_be_one(one.reference, step.reference):
                continue
            same_day = beijing_day(one.at) == beijing_day(step.at)
            named = one.reference is not None and one.reference == step.reference
            of_event = one.dated and step.by is None
            if one.at == step.at or (same_day and (named or of_event or not to_the_letter)):
                return one
        return None

    def answers(self, reference: str) -> bool:
        """Tell whether something was submitted under *reference*."""
        return any(
            step.kind is StepKind.SUBMITTED and step.reference == reference for step in self.taken
        )


UNTOUCHED: Final = Life()


class Illegal(ValueError):
    """A step is not legal in the state it met; the message lists those that are."""

    def __init__(self, state: State, kind: StepKind) -> None:
        legal = ", ".join(LEGAL[state])
        super().__init__(f"{kind} is not possible while it is {state}; possible now: {legal}")
        self.state = state


class Verdict(StrEnum):
    """What became of a step."""

    TAKEN = "taken"
    REPEATED = "repeated"  # it was known
    REFUSED = "refused"  # not legal where it stands
    WAITING = "waiting"  # there is no duty that it could be about
    WITHDRAWN = "withdrawn"  # a person took it back


class Judged(NamedTuple):
    """A step with what became of it; *target* and *state* are of the duty that it met."""

    step: Step
    verdict: Verdict
    target: Target | None = None
    state: State = State.OPEN  # before the step

    @property
    def why(self) -> str:
        """Why it was not taken, in words."""
        match self.verdict:
            case Verdict.REFUSED:
                return str(Illegal(self.state, self.step.kind))
            case Verdict.WAITING:
                return "there is no duty that it could be about"
            case Verdict.WITHDRAWN:
                return "a person took it back"
            case Verdict.REPEATED:
                named = "the duty" if self.target is None else " ".join(self.target[:2])
                return f"{named} has it already"
        return ""


class Settled(NamedTuple):
    """What the steps of one processor come to."""

    lives: Mapping[Target, Life]
    judged: tuple[Judged, ...]  # in the order of the fold


def settle(
    targets: Iterable[Target], steps: Iterable[Step], left: Collection[Target] = ()
) -> Settled:
    """Fold all *steps* of one processor over all its duties, in whatever order both are given.

    A step that names no duty is about the one with the oldest trigger for which it is legal; a
    submission is never about a duty of a later day, unless it names it. One that names no rule
    can be about any filing of Art. 15, one that names a review or supplement clock about the
    filing that it is a clock of. If the reference of an answer is that of a submission, it
    answers that. Of *left*, which nobody owes now, a step has to name the one that it is about.

    A duty that a person annulled takes nothing that was told after that decision, until it is
    taken back, whenever it happened: what names the duty is refused, the rest is about another,
    although the annulled one has the same of before.
    """
    lives: dict[Target, Life] = dict.fromkeys(sorted(targets, key=_by_age), UNTOUCHED)
    ordered = sorted(steps, key=_by_time)
    withdrawn = {step.withdraws for step in ordered if step.withdraws is not None}
    denials = _denials(step for step in ordered if step.id not in withdrawn)
    judged = []
    for step in ordered:
        if step.withdraws is not None:
            judged.append(Judged(step, Verdict.TAKEN))
        elif step.id in withdrawn:
            judged.append(Judged(step, Verdict.WITHDRAWN))
        else:
            one = _judge(step, lives, left, denials)
            if one.verdict is Verdict.TAKEN and one.target is not None:
                lives[one.target] = lives[one.target].after(step)
            judged.append(one)
    return Settled(lives, tuple(judged))


def _denials(steps: Iterable[Step]) -> Mapping[tuple[str | None, str | None], Instant]:
    """Return when it was decided of a duty, by rule and key, that it is not owed."""
    found: dict[tuple[str | None, str | None], Instant] = {}
    for step in sorted(steps, key=lambda one: (one.known_at, *_by_time(one))):
        if step.kind is StepKind.ANNULLED:
            found.setdefault((step.rule, step.duty), step.known_at)
        elif step.kind is StepKind.REOPENED:
            found.pop((step.rule, step.duty), None)
    return found


def _judge(
    step: Step,
    lives: Mapping[Target, Life],
    left: Collection[Target],
    denials: Mapping[tuple[str | None, str | None], Instant],
) -> Judged:
    addressed = [target for target in lives if _addresses(step, target)]
    answered: list[Target] = []
    if step.reference is not None and step.kind in _ANSWERS:
        answered = [one for one in addressed if lives[one].answers(step.reference)]
    addressed = answered or [one for one in addressed if step.duty or one not in left]
    denied = [
        target
        for target in addressed
        if denials.get((family(target.rule), target.key), step.known_at) < step.known_at
    ]
    free = [one for one in addressed if one not in denied]
    # What an annulled duty has already is news where another one can take it.
    taken_by = any(step.kind in lives[one].legal for one in free)
    for target in free if taken_by else addressed:
        if lives[target].repeats(step, to_the_letter=True):
            return Judged(step, Verdict.REPEATED, target, lives[target].state)
    if denied and not free and (answered or step.duty):
        return Judged(step, Verdict.REFUSED, addressed[0], State.ANNULLED)
    addressed = free
    for target in addressed:
        if step.kind in lives[target].legal:
            return Judged(step, Verdict.TAKEN, target, lives[target].state)
    for target in addressed:
        if lives[target].repeats(step, to_the_letter=False):
            return Judged(step, Verdict.REPEATED, target, lives[target].state)
    # One that names no duty may be about one that is still to be opened.
    owed = [one for one in addressed if step.duty is not None or lives[one].ended is None]
    if not owed:
        return Judged(step, Verdict.WAITING)
    return Judged(step, Verdict.REFUSED, owed[0], lives[owed[0]].state)


def _addresses(step: Step, target: Target) -> bool:
    if target.rule in CLOCKS or step.duty not in {None, target.key}:
        return False
    if step.duty is None and step.kind is StepKind.SUBMITTED and is_early(step.at, target):
        return False  # what was left over of an older duty must never meet a younger one
    if step.rule is None or step.rule in CLOCKS:
        return family(target.rule) in FILINGS
    return family(step.rule) == family(target.rule)


def is_early(at: Instant, target: Target) -> bool:
    """Tell whether *at* is of a day before the duty was reached."""
    since = target.trigger_at if target.since is None else target.since
    return beijing_day(at) < beijing_day(since)


def _by_age(target: Target) -> tuple[Instant, str, tuple[int, str]]:
    return target.trigger_at, target.rule, (len(target.key), target.key)


def _by_time(step: Step) -> tuple[Instant, int, int, str, str]:
    return step.at, step.sequence, _RANK[step.kind], step.reference or "", step.id


def _may_be_one(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other
