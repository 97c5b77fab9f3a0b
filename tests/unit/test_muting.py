"""Silences: what they mean and how long they last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.muting import LONGEST_DAYS, Silence, Standing
from monitor.notices import Kind, Notice, Severity, Skip
from tests.outbox_contract import DAY, NOW, SECOND, notice

ALL = Silence(number=1, made_at=NOW, until=NOW + DAY, by="ops", reason="works")
GAP = notice("a")


@pytest.mark.parametrize(
    ("silence", "takes"),
    [
        (ALL, True),
        (replace(ALL, processor="acme 第一"), True),
        (replace(ALL, processor="beta"), False),
        (replace(ALL, rule="frt.file"), True),
        (replace(ALL, rule="frt.cancel"), False),
        (replace(ALL, kind=Kind.GAP), True),
        (replace(ALL, kind=Kind.CLOCK_BEHIND), False),
        (replace(ALL, severity=Severity.PAGE), True),
        (replace(ALL, severity=Severity.INFO), False),
        (replace(ALL, kind=Kind.GAP, processor="beta"), False),
    ],
)
def test_a_silence_takes_what_agrees_with_all_that_it_names(silence: Silence, takes: bool) -> None:  # noqa: FBT001 - a column of the table
    assert silence.takes(GAP) is takes


def test_an_escalation_is_muted_with_what_it_escalates() -> None:
    step = Notice(
        key="escalated:1",
        kind=Kind.ESCALATED,
        severity=Severity.PAGE,
        created_at=NOW,
        body={"escalated_kind": "gap"},
    )

    assert replace(ALL, kind=Kind.GAP).takes(step)
    assert replace(ALL, kind=Kind.ESCALATED).takes(step)
    assert not replace(ALL, kind=Kind.LOG_WENT_BACK).takes(step)


def reminder(left: int) -> Notice:
    return Notice(
        key="reminder:1",
        kind=Kind.REMINDER,
        severity=Severity.PAGE,
        created_at=NOW,
        body={"working_days_left": left},
    )


def escalated(page: Notice) -> Notice:
    body = {**page.body, "page": page.key, "escalated_kind": page.kind.value}
    return replace(page, key="escalated:1", kind=Kind.ESCALATED, body=body)


@pytest.mark.parametrize(
    "told",
    [
        notice("a", kind=Kind.DUTY_OPENED),
        notice("a", kind=Kind.DUTY_MOVED),
        notice("a", kind=Kind.DUTY_REOPENED),
        notice("a", kind=Kind.DUE_MOVED),
        notice("a", kind=Kind.FILING_STEP),
        reminder(0),
        reminder(-1),
    ],
)
def test_no_silence_mutes_what_a_duty_leaves_no_time_for_nor_its_escalation(told: Notice) -> None:
    assert not ALL.takes(told)
    assert not ALL.takes(escalated(told))


@pytest.mark.parametrize(
    "told",
    [
        notice("a", kind=Kind.ENROLLED_AFTER_END),
        notice("a", kind=Kind.FILING_REFUSED),
        replace(notice("a", kind=Kind.FILING_STEP), severity=Severity.INFO),
        replace(notice("a", kind=Kind.DUE_MOVED), severity=Severity.WARNING),
        reminder(1),
    ],
)
def test_a_silence_mutes_what_else_is_told_of_a_duty(told: Notice) -> None:
    assert ALL.takes(told)
    assert ALL.takes(escalated(told))


def test_a_silence_lasts_until_its_time_or_until_somebody_ends_it() -> None:
    assert ALL.in_force(NOW)
    assert ALL.in_force(NOW + DAY - 1)
    assert not ALL.in_force(NOW + DAY)
    assert not replace(ALL, ended_at=NOW, ended_by="ops").in_force(NOW + 1)


def test_a_silence_that_a_clock_far_ahead_has_made_mutes_nothing() -> None:
    longest = replace(ALL, until=NOW + LONGEST_DAYS * DAY)

    assert longest.in_force(NOW - 60 * SECOND)
    assert not longest.in_force(NOW - DAY)
    assert not longest.in_force(NOW, longest_days=10)


def test_the_oldest_silence_in_force_is_named() -> None:
    over = replace(ALL, until=NOW)
    other = replace(ALL, number=3, processor="beta")
    standing = Standing(silences=[over, other, replace(ALL, number=4), replace(ALL, number=5)])

    assert standing.muted(GAP, NOW) == Skip("silenced", 4)
    assert Standing(silences=[over, other]).muted(GAP, NOW) is None
