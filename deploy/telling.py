"""What the alerts process does beside sending, put together from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus

from alerts.acknowledging import Answered, Refused, serving
from alerts.acknowledging import Said as Asked
from alerts.channel import Channel
from alerts.channels.apprise_channel import AppriseChannel
from alerts.escalating import Escalating
from alerts.judging import BySettings
from alerts.lasting import Lasting
from alerts.metrics import Metrics
from alerts.people import WorkingTime
from alerts.service import Beside
from alerts.speaking import Speaking
from deploy.channels import Unready
from deploy.reading import BadConfig
from deploy.settings import Settings
from deploy.wiring import Monitor, clock
from monitor.calendars import BadCalendar
from monitor.facts import Instant
from monitor.store import calendars
from monitor.store.acknowledging import Said, Several, acknowledge
from monitor.store.engine import Engine, reading
from monitor.store.muted import Expiring, Standings
from monitor.store.pages import Pages
from monitor.store.reminding import Reminding
from monitor.workdays import Calendar

log = logging.getLogger("facetally")


class LiveCalendar:
    """The calendar with whatever is loaded while the process runs. A chore, and asked by others."""

    def __init__(self, engine: Engine, calendar: Calendar) -> None:
        self._engine, self._current = engine, calendars.Current(calendar)

    def look(self, now: Instant) -> None:
        """See whether a year was loaded."""
        del now
        with reading(self._engine) as connection, suppress(BadCalendar):  # a worker says so
            self._current.refresh(connection)

    def calendar(self) -> Calendar:
        """Return the calendar as it was when it was last looked at."""
        return self._current.calendar

    def times(self) -> WorkingTime:
        """Return working hours by that calendar."""
        return WorkingTime(self._current.calendar)


def beside(monitor: Monitor, metrics: Metrics) -> Beside:
    """Return who decides over what is sent, and what is done beside it."""
    settings, engine = monitor.settings, monitor.engine
    days = LiveCalendar(engine, monitor.calendar)
    longest = settings.silence_max_days
    pages, standings = Pages(engine), Standings(engine, longest)
    return Beside(
        judge=BySettings(settings.routing, days.times, standings),
        open_on=Lasting(pages, standings).open_on,
        chores=(
            days,
            Escalating(settings.routing, days.times, pages, metrics),
            Reminding(engine, settings.ladder, days.calendar),
            Expiring(engine, metrics.silences, longest),
        ),
    )


def spoken(channel: Channel, settings: Settings) -> Channel:
    """Return *channel* with the languages of the routes, if it speaks one."""
    if isinstance(channel, AppriseChannel):
        return Speaking(channel, settings.routing)
    return channel


@contextmanager
def acknowledging(
    monitor: Monitor, count: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[str, int] | None]:
    """Take acknowledgements over HTTP where the settings say so; yield where. Raises BadConfig.

    *count* is called with the status of each answer.
    """
    settings = monitor.settings.acknowledging
    if settings is None:
        yield None
        return
    if isinstance(settings, Unready):
        raise BadConfig(settings.why)

    def taken(said: Asked, until: Instant, now: Instant) -> Answered | None:
        meant = Said(**said._asdict(), how="webhook", until=until)
        try:
            done = acknowledge(monitor.engine, meant, now)
        except Several as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from None
        return None if done is None else Answered(done.now, done.before)

    with ExitStack() as stack:
        try:
            where = stack.enter_context(serving(settings, taken, clock, count))
        except OSError as exc:
            raise BadConfig(
                f"acknowledge.address: {settings.address} cannot be taken ({exc.strerror})"
            ) from None
        log.info("acknowledgements on http://%s:%d/ack", *where)
        yield where
