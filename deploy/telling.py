"""What the alerts process does beside sending, put together from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from typing import Final

from alerts.acknowledging import AckSettings, Answered, Refused, serving
from alerts.acknowledging import Said as Asked
from alerts.channel import Channel
from alerts.channels.apprise_channel import AppriseChannel
from alerts.channels.log import LogSettings
from alerts.escalating import Escalating
from alerts.judging import BySettings
from alerts.lasting import Lasting
from alerts.metrics import CHORES, Metrics
from alerts.people import WorkingTime
from alerts.service import Beside, Chore, uptime
from alerts.speaking import Speaking
from deploy.channels import Unready
from deploy.reading import BadConfig
from deploy.settings import Settings
from deploy.wiring import Monitor, clock
from monitor.calendars import BadCalendar
from monitor.facts import Instant
from monitor.metrics_running import AlertsMetrics
from monitor.store import calendars
from monitor.store.acknowledging import Said, Several, acknowledge
from monitor.store.engine import Engine, reading
from monitor.store.muted import Expiring, Standings
from monitor.store.pages import Pages
from monitor.store.reminding import Reminding
from monitor.workdays import Calendar

log = logging.getLogger("facetally")

_AGAIN: Final = 60_000_000


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


def beside(monitor: Monitor, metrics: Metrics, *more: Chore) -> Beside:
    """Return who decides over what is sent, and what is done beside it: *more*, too."""
    settings, engine = monitor.settings, monitor.engine
    days = LiveCalendar(engine, monitor.calendar)
    longest = settings.silence_max_days
    logs = [one.name for one in settings.channels if isinstance(one, LogSettings)]
    pages, standings = Pages(engine), Standings(engine, longest, logs)
    return Beside(
        judge=BySettings(settings.routing, days.times, standings),
        open_on=Lasting(pages, standings).open_on,
        chores=(
            days,
            Escalating(settings.routing, days.times, pages, metrics),
            Reminding(engine, settings.ladder, days.calendar),
            Expiring(engine, metrics.silences, longest),
            *more,
        ),
    )


def spoken(channel: Channel, settings: Settings) -> Channel:
    """Return *channel* with the languages of the routes, if it speaks one."""
    if isinstance(channel, AppriseChannel):
        return Speaking(channel, settings.routing)
    return channel


class Acknowledging:
    """Takes acknowledgements over HTTP. A chore: an address that is taken is tried again.

    Nothing else waits for it. Each try that fails is logged and counted as an error of the chores.
    """

    def __init__(
        self,
        settings: AckSettings,
        engine: Engine,
        metrics: AlertsMetrics,
        until: ExitStack,
        uptime: Callable[[], Instant] = uptime,
    ) -> None:
        """Take them until the end of *until*; tries are paced by *uptime*."""
        self._settings, self._engine, self._metrics = settings, engine, metrics
        self._until, self._uptime = until, uptime
        self._again: Instant | None = 0

    def look(self, now: Instant) -> None:
        """Take the address, if that is still to be done and a minute has passed."""
        del now
        if self._again is None or self._uptime() < self._again:
            return
        self._again = self._uptime() + _AGAIN
        served = serving(self._settings, self._taken, clock, self._metrics.acknowledged)
        try:
            where = self._until.enter_context(served)
        except OSError as exc:
            # Not raised: after an error all chores wait, and escalations are among them.
            log.error(  # noqa: TRY400 - where it was raised says nothing
                "acknowledge.address: %s cannot be taken (%s): nobody is heard there, all else "
                "goes on; tried again in a minute",
                self._settings.address,
                exc.strerror,
            )
            self._metrics.crashed(CHORES)
            return
        self._again = None
        log.info("acknowledgements on http://%s:%d/ack", *where)

    def _taken(self, said: Asked, until: Instant, now: Instant) -> Answered | None:
        meant = Said(**said._asdict(), how="webhook", until=until)
        try:
            done = acknowledge(self._engine, meant, now)
        except Several as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from None
        return None if done is None else Answered(done.now, done.before)


@contextmanager
def acknowledging(monitor: Monitor, metrics: AlertsMetrics) -> Iterator[Sequence[Chore]]:
    """Take acknowledgements over HTTP where the settings say so, until the block ends.

    Yield the chore that takes the address where it could not be taken at once. Raises BadConfig.
    """
    settings = monitor.settings.acknowledging
    if settings is None:
        yield ()
        return
    if isinstance(settings, Unready):
        raise BadConfig(settings.why)
    with ExitStack() as until:
        chore = Acknowledging(settings, monitor.engine, metrics, until)
        chore.look(clock())
        yield (chore,)
