"""What the demo says of a duty."""

from __future__ import annotations

from deploy.demo import words
from deploy.demo.seen import DutySeen
from monitor.notices import Kind
from monitor.store.showing import Told

DUTY = DutySeen(
    processor="acme",
    rule="frt.file",
    status="open",
    trigger_day="2026-03-02",
    due_day="2026-04-14",
    due_between=None,
    working_days_left=30,
    calendar_version="2026-1",
    trigger_at=0,
    individuals=100_000,
    at_least=100_000,
)


def told(kind: Kind, head: str, processor: str = "acme") -> Told:
    return Told(
        key=f"{kind.value}:{head}",
        kind=kind,
        processor=processor,
        rule="frt.file",
        body={"audit_head": head},
        channel="log",
        attempts=1,
        sent_at=1,
        answer=None,
    )


def test_the_audit_entry_of_a_duty_is_not_that_of_an_early_warning_of_its_rule() -> None:
    warned = told(Kind.THRESHOLD_APPROACHED, "aaaa")
    another = told(Kind.DUTY_OPENED, "bbbb", processor="beta")
    opened = told(Kind.DUTY_OPENED, "cccc")

    assert words.audit_of(DUTY, [warned, another, opened]) == "cccc"


def test_a_duty_whose_notice_is_not_there_yet_has_no_audit_entry_to_show() -> None:
    assert words.audit_of(DUTY, [told(Kind.THRESHOLD_APPROACHED, "aaaa")]) == ""
