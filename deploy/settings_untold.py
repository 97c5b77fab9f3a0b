"""What in the settings would leave a page untold: a log wakes nobody."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from alerts.channels.log import LogSettings
from alerts.routing import Escalation, Route, Routing
from deploy.channels import ChannelSettings
from deploy.reading import BadConfig
from monitor.notices import Kind, Severity

_ONCE: Final = (
    "no escalation takes pages: each channel is told a page once, and never again if nobody "
    'sees it; add [[escalations]] and [[routes]] with severities = ["page"] that name it'
)
_IN_ITS_PLACE: Final = (Kind.DUTY_MOVED, Kind.DUE_MOVED, Kind.DUTY_REOPENED, Kind.FILING_STEP)
_INLINE: Final = frozenset(
    {"authorization", "database_password", "key_password", "password", "previous_secret", "secret"}
)


def check_pages_reach(
    routes: Sequence[Route], escalations: Mapping[str, Escalation], known: Mapping[str, bool]
) -> None:
    """Raise BadConfig for a route that takes pages and leads to logs alone.

    *known* says of each channel whether it reaches somebody; if none does, ``warnings`` says so.
    One that continues is good if a later one takes all that it takes, and reaches somebody.
    """
    if not any(known.values()):
        return
    for number, route in enumerate(routes):
        later = routes[number + 1 :] if route.continues else ()
        good = _reaches(route, escalations, known) or any(
            _takes_as_much(other, route) and _reaches(other, escalations, known) for other in later
        )
        if _of_pages(route) and not good:
            raise BadConfig(
                f"routes[{number}].channels: pages would go to a log alone, and wake nobody; add a "
                'channel or an escalation, or leave pages out: severities = ["warning", "info"]'
            )


def reaching(channels: Sequence[ChannelSettings]) -> list[str]:
    """Return the names of those of *channels* that can reach somebody."""
    return [one.name for one in channels if not isinstance(one, LogSettings)]


def warnings(channels: Sequence[ChannelSettings], path: Path | None, found: object) -> list[str]:
    """Return what is wrong with settings that can be used all the same, in sentences.

    *found* is what is written in the file *path*.
    """
    said = []
    if not reaching(channels):
        said.append("no [[channels]] reaches anybody: duties are told to the log alone")
    if path is not None and _inline(found) and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        said.append(
            f"{path.name} holds a secret, and anybody on this machine may read it: chmod 600"
        )
    return said


def unescalated(routing: Routing) -> list[str]:
    """Return a sentence if no page is told again while nobody has acknowledged it, else nothing.

    Whether somebody can be reached at all is ``warnings``' to say.
    """
    escalations = {one.name: one for one in routing.escalations}
    if any(_of_pages(route) and _escalates(route, escalations) for route in routing.routes):
        return []
    return [_ONCE]


def parted(routing: Routing) -> list[str]:
    """Return a sentence for each route that takes the page of a duty and not what ends that page.

    Who is told that a duty is open would never hear that it is due earlier or owed again.
    """
    return [
        f"routes[{number}].kinds: takes duty_opened, but not {', '.join(left)}: such a page takes "
        "the place of duty_opened, goes to others, and ends the escalation of this route; add it"
        for number, route in enumerate(routing.routes)
        if route.kinds is not None and Kind.DUTY_OPENED in route.kinds and _of_pages(route)
        for left in [[one.value for one in _IN_ITS_PLACE if not _told_too(one, route, routing)]]
        if left
    ]


def _told_too(kind: Kind, route: Route, routing: Routing) -> bool:
    """Tell whether whoever *route* leads to is told pages of *kind*, by it or by another route."""
    return any(
        _wide_as(other, route)
        and (other.kinds is None or kind in other.kinds)
        and other.escalation == route.escalation
        and set(route.channels) <= set(other.channels)
        for other in routing.routes
    )


def _of_pages(route: Route) -> bool:
    return route.severities is None or Severity.PAGE in route.severities


def _reaches(
    route: Route, escalations: Mapping[str, Escalation], known: Mapping[str, bool]
) -> bool:
    return _escalates(route, escalations) or any(known[one] for one in route.channels)


def _escalates(route: Route, escalations: Mapping[str, Escalation]) -> bool:
    escalation = escalations.get(route.escalation or "")
    return escalation is not None and Severity.PAGE in escalation.severities


def _takes_as_much(other: Route, route: Route) -> bool:
    return _wide_as(other, route) and _covers(other.kinds, route.kinds)


def _wide_as(other: Route, route: Route) -> bool:
    """Tell whether *other* takes pages of all processors and rules that *route* takes."""
    named = ((other.processors, route.processors), (other.rules, route.rules))
    return _of_pages(other) and all(_covers(theirs, ours) for theirs, ours in named)


def _covers(theirs: frozenset[Any] | None, ours: frozenset[Any] | None) -> bool:
    return theirs is None or (ours is not None and ours <= theirs)


def _inline(found: object) -> bool:
    if isinstance(found, list):
        return any(_inline(one) for one in found)
    if not isinstance(found, dict):
        return False
    return any(
        (key in _INLINE and isinstance(value, str) and bool(value)) or _inline(value)
        for key, value in found.items()
    )
