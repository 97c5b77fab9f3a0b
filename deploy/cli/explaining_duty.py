"""``facetally explain --duty``: what a duty was opened by, counted by, and what happened to it."""

from __future__ import annotations

import click

from deploy.cli.common import fail, print_json, rfc3339
from deploy.cli.explaining_days import days_json, tell_days
from deploy.cli.filing import due_words, named_duty, step_json, superseded_words
from deploy.pack.counting import Counted, spelled
from deploy.wiring import Monitor, clock
from monitor.duties import Duty
from monitor.duties import as_json as duty_json
from monitor.facts import Instant
from monitor.rules import Rule
from monitor.store.engine import reading
from monitor.store.explaining_duty import DutyExplained, Entered, explain_duty
from monitor.store.explaining_more import NothingToExplain
from monitor.workdays import Calendar

_UNPROVEN = "the last day that was told; the calendars and rules that are kept do not count to it"


def show_duty(monitor: Monitor, processor: str, wanted: str, *, as_json: bool) -> None:
    """Show the duty that *wanted*, RULE or RULE:KEY, names."""
    rule_id, _, key = wanted.partition(":")
    now, rules, calendar = clock(), monitor.settings.rules, monitor.calendar
    try:
        with reading(monitor.engine) as connection:
            found = explain_duty(connection, processor, rule_id, key or None, rules, calendar)
    except NothingToExplain as exc:
        fail(str(exc))
        return
    rule = found.basis.rule
    days = list(spelled(rule, found.duty, found.basis.calendar)) if rule is not None else []
    if as_json:
        print_json(_json(found, days, now, calendar))
        return
    _tell(found, now)
    tell_days(days)
    if not found.basis.proves:
        click.echo(f"{found.duty.deadline.latest} is {_UNPROVEN}")


def _json(
    found: DutyExplained, days: list[Counted], now: Instant, calendar: Calendar
) -> dict[str, object]:
    duty, rule = found.duty, found.basis.rule
    return {
        "duty": duty_json(duty, now, calendar),
        "trigger_at": rfc3339(duty.trigger_at),
        "opened_at": rfc3339(duty.opened_at),
        "rule": None if rule is None else _rule_json(rule),
        "facts": [
            {
                "fact": one.what,
                "at": rfc3339(one.at),
                "known_at": rfc3339(one.known_at),
                "version": None if one.version is None else list(one.version),
            }
            for one in found.facts
        ],
        "steps": [step_json(duty.processor, judged) for judged in found.steps],
        "audit": [
            {"seq": one.entry.seq, "at": rfc3339(one.entry.at), "kind": one.entry.kind}
            | {"by": one.by, "reason": one.reason, "hash": one.entry.hash}
            for one in found.entries
        ],
        "superseded_by": named_duty(found.superseded_by),
        "proven": found.basis.proves,
        **days_json(days, found.basis.calendar),
    }


def _rule_json(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "measure": rule.measure,
        "comparator": rule.comparator,
        "at_least": rule.at_least,
        "period": rule.period,
        "unit": rule.unit,
        "fixed_date": rule.fixed_date.isoformat() if rule.fixed_date else None,
        "count_trigger_day": rule.count_trigger_day,
        "addressee": rule.addressee,
        "source": rule.source,
    }


def _tell(found: DutyExplained, now: Instant) -> None:
    duty, rule = found.duty, found.basis.rule
    source = f"; {rule.source}" if rule is not None else "; the settings have no such rule any more"
    click.echo(f"duty {duty.rule} ({duty.key}) of {duty.processor}{source}")
    bounded = " or before" if duty.not_later_than else ""
    click.echo(f"trigger {rfc3339(duty.trigger_at)}, in Beijing {duty.trigger_day}{bounded}")
    click.echo(f"known {rfc3339(duty.opened_at)}, by calendar {duty.deadline.calendar_version}")
    asked = "" if rule is None else f", {_period(rule)}"
    instead = superseded_words(found.superseded_by)
    click.echo(f"status {duty.status(now).value}{instead}, {due_words(duty)}{asked}")
    for line in _proof(duty):
        click.echo(line)
    for fact in found.facts:
        click.echo(f"fact {rfc3339(fact.at)} {fact.what}, known {rfc3339(fact.known_at)}")
    if found.more_facts:
        click.echo(f"and {found.more_facts:,} more facts of these instants")
    for judged in found.steps:
        step = judged.step
        said = " ".join(filter(None, (step.reference, _who(step.by, step.reason), judged.why)))
        became = f"step {rfc3339(step.at)} {step.kind.value} {judged.verdict.value} {said}"
        click.echo(became.rstrip())
    for one in found.entries:
        click.echo(_entry(one))


def _period(rule: Rule) -> str:
    if rule.unit == "fixed_date":
        return f"a fixed date, {rule.fixed_date}"
    if rule.unit == "at_once":
        return "at once"
    first = ", the trigger day counted" if rule.count_trigger_day else ""
    return f"{rule.period} {rule.unit.replace('_', ' ')}{first}"


def _proof(duty: Duty) -> list[str]:
    """Return what the proof says beyond the facts: numbers, evidence, and who decided."""
    proof, lines = duty.proof, []
    number, at_least = proof.get("individuals"), proof.get("at_least")
    if isinstance(number, int):
        of = f" of {at_least:,}" if isinstance(at_least, int) else ""
        lines.append(f"number then {number:,}{of}")
    evidence = proof.get("evidence")
    if isinstance(evidence, dict):
        said = ", ".join(f"{name} {value}" for name, value in sorted(evidence.items()))
        lines.append(f"evidence {said}")
    for what in ("told", "confirmed", "corrected"):
        said_by = proof.get(what)
        if isinstance(said_by, dict):
            was = said_by.get("was_trigger_day")
            before = f", the trigger day was {was}" if was else ""
            lines.append(f"{what} {_who(said_by.get('by'), said_by.get('reason'))}{before}")
    return lines


def _entry(one: Entered) -> str:
    entry, who = one.entry, _who(one.by, one.reason)
    said = f" {who}" if who else ""
    return f"audit {entry.seq} {rfc3339(entry.at)} {entry.kind}{said} {entry.hash}"


def _who(by: object, reason: object) -> str:
    who = f"by {by}" if by else ""
    return f"{who}: {reason}" if who and reason else who or (f"({reason})" if reason else "")
