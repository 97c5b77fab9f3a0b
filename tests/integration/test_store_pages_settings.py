"""Escalations whose settings change while a page is open, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from alerts.escalating import Escalating
from alerts.routing import Escalation
from monitor.facts import Instant
from monitor.store.pages import Pages
from tests.integration.store_kit import MINUTE, NOW
from tests.integration.test_store_pages import HOUR, ROUTING, STEPS, TIMES, Office, page

CHANGED = NOW + 10 * HOUR


def with_settings(office: Office, *, repeat: Instant, after: Instant = HOUR) -> None:
    """The alerts process starts anew with these of the last step."""
    steps = (*STEPS[:-1], replace(STEPS[-1], after=after))
    changed = Escalation(name="duty", steps=steps, repeat=repeat)
    routing = replace(ROUTING, escalations=(changed,))
    office.escalating = Escalating(routing, lambda: TIMES, Pages(office.engine), office.gauges)


def told_after(office: Office, since: Instant, until: Instant) -> list[Instant]:
    """Look each ten minutes, and return when the last step was told."""
    phone, at = office.phones["third"], []
    for now in range(since, until, 10 * MINUTE):
        before = len(phone.got)
        # Twice: whoever is killed in between, or a second process, tells no round again.
        for _ in range(2):
            office.pass_to(now)
        at += [now] * (len(phone.got) - before)
    return at


@pytest.mark.parametrize("repeat", [20 * MINUTE, 3 * HOUR])
def test_with_another_repeat_somebody_is_told_once_for_each_of_its_rounds(
    engine: Engine, repeat: Instant
) -> None:
    office = Office(engine)
    office.put(page("a"))
    told_after(office, NOW, CHANGED)
    with_settings(office, repeat=repeat)
    told = told_after(office, CHANGED, CHANGED + 3 * repeat)
    rounds = [NOW + HOUR + number * repeat for number in range(200)]

    assert told[0] == CHANGED
    assert told[1:] == [at for at in rounds if CHANGED < at < CHANGED + 3 * repeat]
    assert office.wrong() == []


def test_with_a_later_last_step_somebody_is_told_once_for_each_of_its_rounds(
    engine: Engine,
) -> None:
    office = Office(engine)
    office.put(page("a"))
    told_after(office, NOW, CHANGED)
    with_settings(office, repeat=HOUR, after=6 * HOUR)
    told = told_after(office, CHANGED, CHANGED + 3 * HOUR)

    assert told == [CHANGED, CHANGED + HOUR, CHANGED + 2 * HOUR]


def test_with_the_settings_of_before_again_no_round_is_told_twice(engine: Engine) -> None:
    office = Office(engine)
    office.put(page("a"))
    told_after(office, NOW, CHANGED)
    with_settings(office, repeat=3 * HOUR)
    office.pass_to(CHANGED)
    with_settings(office, repeat=HOUR)
    told = told_after(office, CHANGED, CHANGED + 2 * HOUR)

    assert told == [CHANGED, CHANGED + HOUR]


def test_of_the_rounds_before_and_after_a_change_a_dead_channel_is_told_the_newest(
    engine: Engine,
) -> None:
    office = Office(engine)
    office.put(page("a"))
    office.phones["third"].broken = True
    told_after(office, NOW, CHANGED)
    with_settings(office, repeat=3 * HOUR)
    office.pass_to(CHANGED + MINUTE)
    office.phones["third"].broken = False
    office.send(CHANGED + 2 * HOUR)

    assert office.got()["third"] == [(3, 3)]
    assert office.outbox.waiting() == []
    assert office.wrong() == []
