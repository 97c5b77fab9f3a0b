"""A count of working days, day by day, as ``facetally explain`` shows it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deploy.pack.counting import WEEKDAYS, Counted
from monitor.workdays import Calendar


def days_json(days: Sequence[Counted], calendar: Calendar) -> dict[str, object]:
    """Return *days*, and the versions of *calendar* with their notices."""
    return {
        "days": [
            {
                "day": one.day.isoformat(),
                "working_day": one.works,
                "why": one.why.en,
                "count": one.count,
            }
            for one in days
        ],
        "calendars": [{"version": year.version, "notice": year.notice} for year in calendar.years],
    }


def tell_days(days: Sequence[Counted]) -> None:
    """Print one line for each of *days*."""
    for one in days:
        count = "" if one.count is None else f"{one.count:>3}"
        weekday = WEEKDAYS[one.day.weekday()].en[:3]
        click.echo(f"{one.day} {weekday} {count:>3} {one.why.en}")
