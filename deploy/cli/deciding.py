"""Decisions of a person about a duty: annulled, reopened, corrected; each with who and why."""

from __future__ import annotations

from datetime import date

import click

from deploy.cli.common import config_option, fail, json_option, monitor_of, said
from deploy.cli.filing import WhenType, show_recorded
from deploy.wiring import clock
from monitor.filings import StepKind
from monitor.store.filings_said import Decided, NotRecorded, decide

_RULE = click.option("--rule", required=True, help="The rule of the duty, such as frt.file.")
_KEY = click.option("--key", help="Which duty of that rule, where there are several.")
_BY = click.option("--by", required=True, callback=said, help="Who decides it.")
_REASON = click.option("--reason", required=True, callback=said, help="Why.")


@click.group("duty")
def duty() -> None:
    """Decide about a duty; who and why goes into the audit log and is told."""


@duty.command("annul")
@config_option
@json_option
@click.argument("processor")
@_RULE
@_KEY
@_BY
@_REASON
def annul_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    rule: str,
    key: str | None,
    by: str,
    reason: str,
) -> None:
    """End a duty without anything being done, because it is not owed.

    The latch of its rule is armed anew: a later passing from below opens another duty.
    """
    decided = Decided(
        processor=processor, kind=StepKind.ANNULLED, rule=rule, duty=key, by=by, reason=reason
    )
    _decide(config, decided, as_json=as_json)


@duty.command("reopen")
@config_option
@json_option
@click.argument("processor")
@_RULE
@_KEY
@_BY
@_REASON
def reopen_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    rule: str,
    key: str | None,
    by: str,
    reason: str,
) -> None:
    """Take back what ended a duty: a completion or an annulment."""
    decided = Decided(
        processor=processor, kind=StepKind.REOPENED, rule=rule, duty=key, by=by, reason=reason
    )
    _decide(config, decided, as_json=as_json)


@duty.command("correct")
@config_option
@json_option
@click.argument("processor")
@_RULE
@_KEY
@click.option("--trigger-day", type=WhenType(), help="The trigger day as it should be.")
@click.option("--withdraw", metavar="STEP", help="Take this step back, as 'filing list' names it.")
@_BY
@_REASON
def correct_command(
    config: str | None,
    *,
    as_json: bool,
    trigger_day: date | int | None,
    withdraw: str | None,
    key: str | None,
    **given: str,
) -> None:
    """Correct the trigger day of a duty, or take back a step that was told wrongly."""
    if (trigger_day is None) == (withdraw is None):
        fail("give --trigger-day or --withdraw, one of them")
    if isinstance(trigger_day, int):
        fail("--trigger-day: give a day in Beijing, such as 2026-11-22")
        return
    decided = Decided(
        kind=StepKind.CORRECTED,
        duty=key,
        trigger_day=trigger_day,
        withdraws=withdraw,
        **given,
    )
    _decide(config, decided, as_json=as_json)


def _decide(config: str | None, decided: Decided, *, as_json: bool) -> None:
    monitor = monitor_of(config)
    try:
        now = clock()
        done = decide(monitor.engine, decided, monitor.counting(now), now)
    except NotRecorded as exc:
        fail(str(exc))
        return
    show_recorded(done, monitor.calendar, as_json=as_json)


COMMANDS = (duty,)
