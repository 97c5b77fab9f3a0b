"""``facetally notices``: what was told when, to whom, by which channel, and with which answer."""

from __future__ import annotations

from collections.abc import Mapping

import click

from alerts import words
from deploy.cli.common import (
    InstantType,
    config_option,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
)
from monitor.facts import Instant
from monitor.store import notices_told
from monitor.store.engine import reading


@click.command("notices")
@config_option
@json_option
@click.option("--processor", help="Only what is about this processor.")
@click.option("--duty", metavar="RULE[/KEY]", help="Only what is about this duty.")
@click.option("--since", type=InstantType(), help="Only what was written from then on.")
def notices_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str | None,
    duty: str | None,
    since: Instant | None,
) -> None:
    """Show the evidence: each notice, each channel's answer, and who acknowledged it."""
    with reading(monitor_of(config).engine) as connection:
        found = list(notices_told.told(connection, processor=processor, duty=duty, since=since))
    if as_json:
        print_json({"notices": [_as_json(one) for one in found]})
        return
    for one in found:
        notice = one.notice
        head = (rfc3339(notice.created_at), notice.severity, words.summary(notice).en)
        click.echo("  ".join(str(part) for part in head))
        click.echo(f"    {notice.key}")
        for way in one.ways:
            click.echo(f"    {way.channel}: {_went(way)}{_to(one, way)}")
        if one.acknowledged is not None:
            ack = one.acknowledged
            why = f": {ack.reason}" if ack.reason else ""
            click.echo(f"    acknowledged {rfc3339(ack.at)} by {ack.by} ({ack.how}){why}")
        if one.over_at is not None:
            click.echo(f"    over {rfc3339(one.over_at)}: a newer page tells of its duty")
    if not found:
        click.echo("no notice")


def _went(way: notices_told.Way) -> str:
    if way.sent_at is not None:
        return f"delivered {rfc3339(way.sent_at)}, answer {way.answer}, attempt {way.attempts}"
    if way.skipped_at is not None:
        by = f" by silence {way.silence}" if way.silence is not None else ""
        return f"skipped {rfc3339(way.skipped_at)}, {way.skipped}{by}"
    error = f", {way.error}" if way.error else ""
    return f"owed, {way.attempts} attempts{error}"


def _to(one: notices_told.Told, way: notices_told.Way) -> str:
    body = one.notice.body
    step, people = body.get("escalation_step", way.step), body.get("people", way.people)
    return f", step {step} to {people or 'the channel'}" if step is not None else ""


def _as_json(one: notices_told.Told) -> Mapping[str, object]:
    notice, ack, body = one.notice, one.acknowledged, one.notice.body
    return {
        "key": notice.key,
        "kind": notice.kind,
        "severity": notice.severity,
        "processor": notice.processor,
        "rule": notice.rule,
        "duty": notice.duty,
        "created_at": rfc3339(notice.created_at),
        "escalates": body.get("page"),
        "step": body.get("escalation_step"),
        "round": body.get("escalation_round"),
        "people": body.get("people"),
        "channels": [
            {
                "channel": way.channel,
                "attempts": way.attempts,
                "sent_at": rfc3339(way.sent_at),
                "answer": way.answer,
                "error": way.error,
                "skipped_at": rfc3339(way.skipped_at),
                "skipped": way.skipped,
                "silence": way.silence,
                "people": way.people,
                "step": way.step,
            }
            for way in one.ways
        ],
        "over_at": rfc3339(one.over_at),
        "acknowledged": None
        if ack is None
        else {"at": rfc3339(ack.at), "by": ack.by, "how": ack.how, "reason": ack.reason},
    }


COMMANDS = (notices_command,)
