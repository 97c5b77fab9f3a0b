"""Where a notice goes, by the settings: routes in order, escalations, people. No clock, no store.

What no route takes goes to every channel: a gap in the settings must not be a duty that nobody is
told of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from alerts.people import Person
from alerts.values import Language
from monitor.facts import Instant
from monitor.filings import family
from monitor.notices import Kind, Notice, Severity

PAGES: Final = frozenset({Severity.PAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Whom to tell when a page is *after* microseconds old, if nobody has acknowledged it."""

    after: Instant
    people: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Steps by age, the first at once; the last is repeated every *repeat* until acknowledged."""

    name: str
    steps: tuple[Step, ...]
    repeat: Instant | None = None
    severities: frozenset[Severity] = PAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What it takes (None: anything), where that goes at once, and how it escalates.

    The first that takes a notice is the last that is asked, unless it *continues*.
    """

    processors: frozenset[str] | None = None
    rules: frozenset[str] | None = None
    kinds: frozenset[Kind] | None = None
    severities: frozenset[Severity] | None = None
    channels: tuple[str, ...] = ()
    escalation: str | None = None
    continues: bool = False
    language: Language | None = None

    def takes(self, notice: Notice) -> bool:
        """Tell whether *notice* is meant; one without a processor or rule has none that is.

        A rule is meant with the legacy row that its duties turn into: a fact that comes late moves
        one there, and its page takes the place of what was told by this route.
        """
        asked = (
            (self.processors, notice.processor),
            (self.kinds, notice.kind),
            (self.severities, notice.severity),
        )
        rule = notice.rule
        named = self.rules is None or (rule is not None and {rule, family(rule)} & self.rules)
        return bool(named) and all(wanted is None or value in wanted for wanted, value in asked)


@dataclass(frozen=True, slots=True)
class Routed:
    """*channels* are told at once, and so is the first step of each of *escalations*."""

    channels: frozenset[str]
    escalations: tuple[Escalation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What the settings say of who is told what; *channels* are all that there are."""

    channels: tuple[str, ...]
    people: tuple[Person, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    routes: tuple[Route, ...] = ()
    _people: dict[str, Person] = field(init=False, repr=False, compare=False)
    _escalations: dict[str, Escalation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_people", {one.name: one for one in self.people})
        object.__setattr__(self, "_escalations", {one.name: one for one in self.escalations})

    def of(self, notice: Notice) -> Routed:
        """Return where *notice* goes: to somebody, always."""
        channels: set[str] = set()
        escalations: dict[str, Escalation] = {}
        for route, escalation in self._taking(notice):
            channels.update(route.channels)
            if escalation is not None:
                escalations[escalation.name] = escalation
            if not route.continues:
                break
        if not channels and not escalations:
            return Routed(frozenset(self.channels))
        return Routed(frozenset(channels), tuple(escalations.values()))

    def language(self, notice: Notice, channel: str) -> Language | None:
        """Return the language of the first route that leads *notice* to *channel* and has one."""
        for route, escalation in self._taking(notice):
            steps = () if escalation is None else escalation.steps
            led = set(route.channels).union(*(self.behind(step) for step in steps))
            if route.language is not None and channel in led:
                return route.language
            if not route.continues:
                break
        return None

    def person(self, name: str) -> Person:
        """Return who is called *name*; the settings have nobody else in a step."""
        return self._people[name]

    def behind(self, step: Step) -> frozenset[str]:
        """Return all channels of *step*, its own and those of its people."""
        people = [self._people[name] for name in step.people]
        return frozenset(step.channels).union(*(one.channels for one in people))

    @property
    def escalated(self) -> frozenset[Severity]:
        """The severities that any escalation is for."""
        return frozenset().union(*(one.severities for one in self.escalations))

    def _taking(self, notice: Notice) -> Iterator[tuple[Route, Escalation | None]]:
        """Yield the routes that take *notice* and would tell somebody of it, with how."""
        for route in self.routes:
            if not route.takes(notice):
                continue
            escalation = self._escalations.get(route.escalation or "")
            if escalation is not None and notice.severity not in escalation.severities:
                escalation = None
            if route.channels or escalation is not None:
                yield route, escalation
