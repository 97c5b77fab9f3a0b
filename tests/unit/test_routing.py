"""Where a notice goes, and whether it is for a channel now."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from alerts.judging import BySettings
from alerts.people import Hours, Person, WorkingTime
from alerts.routing import Escalation, Route, Routing, Step
from monitor.facts import Instant
from monitor.muting import Silence, Standing
from monitor.notices import (
    ACKNOWLEDGED,
    LATER,
    NOT_ROUTED,
    OVER,
    SUPERSEDED,
    Kind,
    Notice,
    Reached,
    Severity,
    Skip,
)
from monitor.workdays import load_calendar
from tests.outbox_contract import notice

TIMES = WorkingTime(load_calendar())
MINUTE: Instant = 60 * 1_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Monday 2 March 2026, midnight in Beijing; the Friday before is 27 February, Saturday works.
MONDAY: Instant = 1_772_380_800_000_000
NOON, NIGHT = MONDAY + 12 * HOUR, MONDAY + 22 * HOUR

ANN = Person(name="ann", channels=("ann-phone",))
BOB = Person(name="bob", channels=("bob-mail",), hours=Hours())
STEPS = (
    Step(after=0, people=("ann", "bob")),
    Step(after=30 * MINUTE, people=("bob",), channels=("team",)),
)
ON_CALL = Escalation(name="on-call", steps=STEPS, repeat=HOUR)
CHANNELS = ("log", "team", "ann-phone", "bob-mail")


def routing(*routes: Route, escalation: Escalation = ON_CALL) -> Routing:
    return Routing(
        channels=CHANNELS, people=(ANN, BOB), escalations=(escalation,), routes=tuple(routes)
    )


GAP = notice("a")


def where(routes: Routing, told: Notice = GAP) -> tuple[set[str], list[str]]:
    routed = routes.of(told)
    return set(routed.channels), [one.name for one in routed.escalations]


def test_without_routes_every_channel_is_told_everything() -> None:
    assert where(routing()) == (set(CHANNELS), [])


@pytest.mark.parametrize(
    "route",
    [
        Route(processors=frozenset({"beta"}), channels=("team",)),
        Route(rules=frozenset({"frt.cancel"}), channels=("team",)),
        Route(kinds=frozenset({Kind.DUTY_OPENED}), channels=("team",)),
        Route(severities=frozenset({Severity.INFO}), channels=("team",)),
    ],
)
def test_what_no_route_takes_goes_to_every_channel(route: Route) -> None:
    assert where(routing(route)) == (set(CHANNELS), [])


def test_the_first_route_that_takes_it_is_the_last() -> None:
    first = Route(severities=frozenset({Severity.PAGE}), channels=("team",))
    second = Route(channels=("log",))

    assert where(routing(first, second)) == ({"team"}, [])


def test_a_route_that_continues_adds_to_the_next() -> None:
    first = Route(channels=("team",), continues=True)
    second = Route(channels=("log",), escalation="on-call")

    assert where(routing(first, second)) == ({"team", "log"}, ["on-call"])


def test_a_route_takes_what_agrees_with_all_that_it_names() -> None:
    exact = Route(
        processors=frozenset({"acme 第一"}),
        rules=frozenset({"frt.file"}),
        kinds=frozenset({Kind.GAP}),
        severities=frozenset({Severity.PAGE}),
        channels=("team",),
    )

    assert where(routing(exact)) == ({"team"}, [])
    assert where(routing(exact), replace(GAP, processor=None)) == (set(CHANNELS), [])


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        ({"frt.file"}, {"frt.file", "frt.file.legacy"}),
        ({"frt.file.legacy"}, {"frt.file.legacy"}),
        ({"frt.change"}, {"frt.change"}),
    ],
)
def test_a_rule_is_taken_with_the_legacy_row_that_its_duties_turn_into(
    rules: set[str], taken: set[str]
) -> None:
    route = Route(rules=frozenset(rules))
    asked = ("frt.file", "frt.file.legacy", "frt.change", None)

    assert {rule for rule in asked if route.takes(replace(GAP, rule=rule))} == taken


def test_a_route_whose_escalation_is_not_for_the_severity_passes_it_on() -> None:
    """Else a warning would go to nobody."""
    only = Route(escalation="on-call")
    warning = replace(GAP, severity=Severity.WARNING)

    assert where(routing(only)) == (set(), ["on-call"])
    assert where(routing(only), warning) == (set(CHANNELS), [])
    assert where(routing(only, Route(channels=("log",))), warning) == ({"log"}, [])


# -- judging -----------------------------------------------------------------------------------


@dataclass
class Known:
    """What a store would say."""

    standing_: Standing = field(default_factory=Standing)

    def standing(self, notice: Notice, now: Instant) -> Standing:  # noqa: ARG002 - as the protocol
        return self.standing_


def judged(
    channel: str,
    now: Instant,
    told: Notice = GAP,
    standing: Standing | None = None,
    *routes: Route,
) -> Skip | None:
    chosen = routing(*(routes or (Route(escalation="on-call"),)))
    judge = BySettings(chosen, lambda: TIMES, Known(standing or Standing()))
    return judge.why_not(told, channel, now)


def elsewhere(*channels: str) -> Skip:
    return NOT_ROUTED._replace(instead=frozenset(channels))


def test_a_page_goes_to_the_people_of_the_first_step_who_are_there() -> None:
    assert {name: judged(name, NOON) for name in CHANNELS} == {
        "ann-phone": None,
        "bob-mail": None,
        "team": elsewhere("ann-phone", "bob-mail"),
        "log": elsewhere("ann-phone", "bob-mail"),
    }
    assert judged("bob-mail", NIGHT) == elsewhere("ann-phone")
    assert judged("ann-phone", NIGHT) is None


def test_whoever_is_not_there_is_told_all_the_same_while_nobody_else_can_be() -> None:
    broken = Standing(broken=frozenset({"ann-phone"}))

    assert judged("bob-mail", NIGHT, GAP, broken) is None


def test_what_is_meant_for_one_channel_is_not_routed_away() -> None:
    step = replace(GAP, kind=Kind.ESCALATED, channel="team")

    assert judged("team", NOON, step) is None


def test_a_step_of_a_page_that_was_acknowledged_meanwhile_is_not_told() -> None:
    step = replace(GAP, kind=Kind.ESCALATED, channel="team")
    acknowledged = Standing(acknowledged=True)

    assert judged("team", NOON, step, acknowledged) == ACKNOWLEDGED
    assert judged("ann-phone", NOON, GAP, acknowledged) is None


def test_what_somebody_has_had_for_a_while_or_calls_nobody_is_not_told() -> None:
    assert judged("ann-phone", NOON, GAP, Standing(heard=True)) == ACKNOWLEDGED
    assert judged("ann-phone", NOON, GAP, Standing(heard=True, over=True)) == ACKNOWLEDGED
    assert judged("ann-phone", NOON, GAP, Standing(over=True)) == OVER


def test_a_warning_that_is_for_people_who_sleep_is_told_later() -> None:
    """Else it would have to be told by whichever channel is left."""
    severities = frozenset({Severity.WARNING})
    day = Escalation(name="on-call", steps=(Step(after=0, people=("bob",)),), severities=severities)
    chosen = routing(Route(escalation="on-call"), escalation=day)
    judge = BySettings(chosen, lambda: TIMES, Known(Standing()))
    warning = replace(GAP, severity=Severity.WARNING)

    assert {judge.why_not(warning, name, NIGHT) for name in CHANNELS} == {LATER}
    assert judge.why_not(warning, "bob-mail", NOON) is None


def test_what_somebody_had_before_there_was_the_channel_is_not_told_on_it() -> None:
    late = Standing(late=frozenset({"ann-phone"}))

    assert judged("ann-phone", NOON, GAP, late) == ACKNOWLEDGED
    assert judged("bob-mail", NOON, GAP, late) is None


def test_what_is_overtaken_is_told_only_where_the_newer_is_not() -> None:
    """As when a reminder has become a page, and pages go elsewhere."""
    pages = Route(severities=frozenset({Severity.PAGE}), channels=("ann-phone",))
    older = replace(GAP, kind=Kind.REMINDER, severity=Severity.WARNING)
    newer = Standing(newer=replace(older, key="reminder:2", severity=Severity.PAGE))
    both = Route(channels=("ann-phone", "team"))

    assert judged("ann-phone", NOON, older, newer, pages, both) == SUPERSEDED
    assert judged("team", NOON, older, newer, pages, both) is None


def test_the_evidence_names_who_is_behind_the_channel_of_the_first_step() -> None:
    judge = BySettings(routing(Route(escalation="on-call")), lambda: TIMES, Known())

    assert judge.reached(GAP, "bob-mail") == Reached("bob", "on-call", 1)
    assert judge.reached(GAP, "log") == Reached()


def test_a_silence_in_force_keeps_it_back_and_is_named() -> None:
    muted = Silence(number=7, made_at=NOON, until=NOON + HOUR, by="ops", reason="works")

    assert judged("ann-phone", NOON, GAP, Standing(silences=[muted])) == Skip("silenced", 7)
    assert judged("ann-phone", NOON + HOUR, GAP, Standing(silences=[muted])) is None


def test_open_duties_are_shown_where_their_page_would_go_at_any_hour() -> None:
    judge = BySettings(routing(Route(escalation="on-call")), lambda: TIMES, Known())
    shown = [one for one in CHANNELS if judge.shows("acme", "frt.file", one, NIGHT)]

    assert shown == ["ann-phone", "bob-mail"]


def test_working_hours_are_those_of_working_days_in_beijing() -> None:
    """28 February 2026 is a Saturday on which is worked, 1 March a Sunday on which is not."""
    eve = MONDAY - DAY

    assert TIMES.latest(None, NIGHT) == NIGHT
    assert TIMES.latest(Hours(), NOON) == NOON
    assert TIMES.latest(Hours(), MONDAY + 9 * HOUR) == MONDAY + 9 * HOUR
    assert TIMES.latest(Hours(), NIGHT) == MONDAY + 18 * HOUR - 1
    assert TIMES.latest(Hours(), MONDAY + 9 * HOUR - 1) == eve - DAY + 18 * HOUR - 1
    assert not TIMES.runs(Hours(), eve + 12 * HOUR)


def test_beyond_the_published_years_monday_to_friday_work() -> None:
    saturday = MONDAY + 5 * DAY + 364 * DAY

    assert not TIMES.runs(Hours(), saturday + 12 * HOUR)
    assert TIMES.runs(Hours(), saturday + 2 * DAY + 12 * HOUR)
