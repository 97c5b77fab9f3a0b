"""The settings about who is told what: people, escalations, routes. For the alerts process alone.

What could leave somebody untold is refused here, by its key: a person without a channel that
reaches anybody, a step without anybody, an escalation that begins late or that no route names, a
route of pages to a log.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from alerts.channel import BadSettings
from alerts.channels.log import LogSettings
from alerts.people import Hours, Person
from alerts.routing import PAGES, Escalation, Route, Routing, Step
from alerts.templates import checked_language
from alerts.values import Language
from deploy.channels import ChannelSettings
from deploy.reading import BadConfig, Table
from deploy.settings_untold import check_pages_reach
from monitor.facts import Instant
from monitor.notices import Kind, Severity

_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_SPAN: Final = re.compile(r"(\d{1,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LEAST_REPEAT: Final = 60_000_000
# A message takes up to a minute to be delivered and read, and an answer some more.
_HASTY: Final = 300_000_000
_E = TypeVar("_E", Kind, Severity)


def read_routing(root: Table, channels: Sequence[ChannelSettings], rules: Iterable[str]) -> Routing:
    """Return who is told what. Raises BadConfig, which names the key."""
    known = {one.name: not isinstance(one, LogSettings) for one in channels}
    people = _people(root.tables("people"), known)
    escalations = _escalations(root.tables("escalations"), known, people)
    tables = root.tables("routes")
    routes = [_route(table, known, escalations, set(rules)) for table in tables]
    check_pages_reach(routes, escalations, known)
    for name in escalations:
        if all(route.escalation != name for route in routes):
            raise BadConfig(
                f"escalations: no route names {name!r}, so nobody would ever be told by it; "
                f'add [[routes]] with escalation = "{name}"'
            )
    return Routing(
        channels=tuple(known),
        people=tuple(people.values()),
        escalations=tuple(escalations.values()),
        routes=tuple(routes),
    )


def hasty_repeats(routing: Routing) -> list[str]:
    """Return what is wrong with repeats that can be used all the same, in sentences."""
    return [
        f"escalations {one.name}: repeat is under 5m, faster than anybody reads and answers: the "
        'last step would be told for ever at that pace; set repeat = "15m" or more, or add a step'
        for one in routing.escalations
        if one.repeat is not None and one.repeat < _HASTY
    ]


# -- people ------------------------------------------------------------------------------------


def _people(tables: Sequence[Table], known: Mapping[str, bool]) -> dict[str, Person]:
    people: dict[str, Person] = {}
    for table in tables:
        one = _person(table, known)
        _once(table, one.name, people)
        people[one.name] = one
    return people


def _person(table: Table, known: Mapping[str, bool]) -> Person:
    name = table.required("name")
    channels = _channels(table, "channels", known)
    if not any(known[one] for one in channels):
        raise BadConfig(f"{table.at}.channels: give one that reaches {name!r}; a log wakes nobody")
    hours = table.text("hours", "always")
    begins, ends = time_of_day(table, "from", "09:00"), time_of_day(table, "to", "18:00")
    if hours not in {"always", "working"}:
        raise BadConfig(f'{table.at}.hours: must be "always" or "working"')
    if begins >= ends:
        raise BadConfig(f"{table.at}.to: must be later than from, on the same day in Beijing")
    table.finish()
    working = Hours(begins=begins, ends=ends) if hours == "working" else None
    return Person(name=name, channels=channels, hours=working)


def time_of_day(table: Table, key: str, default: str) -> int:
    """Return minutes since midnight. Raises BadConfig."""
    text = table.text(key, default)
    if not _TIME.fullmatch(text):
        raise BadConfig(f"{table.at}.{key}: must be a time of the day, such as {default}")
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


# -- escalations -------------------------------------------------------------------------------


def _escalations(
    tables: Sequence[Table], known: Mapping[str, bool], people: Mapping[str, Person]
) -> dict[str, Escalation]:
    escalations: dict[str, Escalation] = {}
    for table in tables:
        one = _escalation(table, known, people)
        _once(table, one.name, escalations)
        escalations[one.name] = one
    return escalations


def _escalation(
    table: Table, known: Mapping[str, bool], people: Mapping[str, Person]
) -> Escalation:
    name, repeat = table.required("name"), span(table, "repeat")
    steps = tuple(_step(one, known, people) for one in table.tables("steps"))
    severities = _members(table, "severities", Severity)
    table.finish()
    if not steps:
        raise BadConfig(f'{table.at}.steps: give one, such as {{ after = "0m", people = [...] }}')
    if steps[0].after:
        raise BadConfig(f'{table.at}.steps[0].after: the first step is at once, "0m"')
    for number, (earlier, later) in enumerate(pairwise(steps), start=1):
        if later.after <= earlier.after:
            raise BadConfig(f"{table.at}.steps[{number}].after: must be later than the step before")
    if repeat is not None and repeat < _LEAST_REPEAT:
        raise BadConfig(f'{table.at}.repeat: must be at least "1m"')
    return Escalation(name=name, steps=steps, repeat=repeat, severities=severities or PAGES)


def _step(table: Table, known: Mapping[str, bool], people: Mapping[str, Person]) -> Step:
    after = span(table, "after")
    names = table.texts("people") or []
    for name in names:
        if name not in people:
            raise BadConfig(
                f"{table.at}.people: there is nobody {name!r} in [[people]]{_listed(people)}"
            )
    channels = _channels(table, "channels", known)
    table.finish()
    if after is None:
        raise BadConfig(f'{table.at}.after: is missing; give the age of the page, such as "30m"')
    if not names and not any(known[one] for one in channels):
        raise BadConfig(f"{table.at}: tells nobody; give people, or channels that reach somebody")
    return Step(after=after, people=tuple(dict.fromkeys(names)), channels=channels)


def span(table: Table, key: str) -> Instant | None:
    """Return the microseconds of a text such as ``30m``, or None. Raises BadConfig."""
    text = table.optional(key)
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise BadConfig(f'{table.at}.{key}: must be a time such as "30m", "1h" or "2d"')
    return int(found[1]) * _SECONDS[found[2]] * 1_000_000


# -- routes ------------------------------------------------------------------------------------


def _route(
    table: Table,
    known: Mapping[str, bool],
    escalations: Collection[str],
    rules: Collection[str],
) -> Route:
    escalation = table.optional("escalation")
    if escalation is not None and escalation not in escalations:
        raise BadConfig(
            f"{table.at}.escalation: there is no {escalation!r} in [[escalations]]"
            f"{_listed(escalations)}"
        )
    route = Route(
        processors=_set(table.texts("processors")),
        rules=_known_rules(table, rules),
        kinds=_members(table, "kinds", Kind),
        severities=_members(table, "severities", Severity),
        channels=_channels(table, "channels", known),
        escalation=escalation,
        continues=table.flag("continue", default=False),
        language=_language(table),
    )
    table.finish()
    if not route.channels and route.escalation is None:
        raise BadConfig(f"{table.at}: leads nowhere; give channels or an escalation")
    for name in ("processors", "rules", "kinds", "severities"):
        if getattr(route, name) == frozenset():
            raise BadConfig(f"{table.at}.{name}: name one, or leave it out: it takes any")
    return route


def _language(table: Table) -> Language | None:
    text = table.optional("language")
    try:
        return None if text is None else checked_language(text)
    except BadSettings as exc:
        raise BadConfig(f"{table.at}.{exc}") from None


def _known_rules(table: Table, rules: Collection[str]) -> frozenset[str] | None:
    named = _set(table.texts("rules"))
    for rule in sorted(named or ()):
        if rule not in rules:
            raise BadConfig(f"{table.at}.rules: there is no rule {rule!r}{_listed(rules)}")
    return named


# -- all ---------------------------------------------------------------------------------------


def _channels(table: Table, key: str, known: Mapping[str, bool]) -> tuple[str, ...]:
    names = table.texts(key) or []
    for name in names:
        if name not in known:
            raise BadConfig(f"{table.at}.{key}: there is no channel {name!r}{_listed(known)}")
    return tuple(dict.fromkeys(names))


def _members(table: Table, key: str, kind: type[_E]) -> frozenset[_E] | None:
    named = table.texts(key)
    if named is None:
        return None
    values = {one.value: one for one in kind}
    for name in named:
        if name not in values:
            raise BadConfig(f"{table.at}.{key}: there is no {name!r}{_listed(values)}")
    return frozenset(values[name] for name in named)


def _set(named: Sequence[str] | None) -> frozenset[str] | None:
    return None if named is None else frozenset(named)


def _once(table: Table, name: str, others: Collection[str]) -> None:
    if name in others:
        raise BadConfig(f"{table.at}.name: {name!r} is there twice; name them apart")


def _listed(known: Iterable[str]) -> str:
    names = sorted(known)
    return f"; there are {', '.join(names)}" if names else ""
