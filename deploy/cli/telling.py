"""How the commands say in text that a number is unverified, why, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.cli.common import rfc3339
from deploy.cli.shapes import outlook_words
from monitor.groups import GroupNumber
from monitor.store.approaching import Outlooks
from monitor.store.reading import Status
from monitor.trust import MEANING, Doubt, Why

_WIDE = 200  # columns: what goes into a file or a pipe is not cut to the width of a screen


def wide_console() -> Console:
    """Return a console that has room where its output is not read on a screen."""
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(width=_WIDE)


def tell_still_stored(console: Console, duties: Iterable[Mapping[str, object]]) -> None:
    """Print what is stored after the end of use, by the ``still_stored`` of *duties*."""
    for duty in duties:
        stored = duty["still_stored"]
        if isinstance(stored, dict):
            each = ", ".join(f"{one['system']} {one['individuals']:,}" for one in stored["systems"])
            research = stored["research_individuals"]
            more = f"; in research {research:,}" if research else ""
            words = f"{stored['individuals']:,} ({each}){more}"
            who = f"{duty['processor']} {duty['rule']} {duty['key']}"
            _line(console, f"still stored after the end of use: {who}: {words}")


def trust_of(whys: Sequence[Why]) -> str:
    """Return ``verified``, or the reasons against the number."""
    reasons = ", ".join(sorted({why.reason.value for why in whys}))
    return f"UNVERIFIED: {reasons}" if reasons else "verified"


def tell_doubts(console: Console, found: Iterable[tuple[str, Sequence[Why]]]) -> None:
    """Print each reason with its topic and since when, then once per reason the way back."""
    reasons: dict[Doubt, None] = {}
    for processor, whys in found:
        for why in whys:
            reasons[why.reason] = None
            since = f" since {rfc3339(why.since)}" if why.since else ""
            _line(console, f"unverified: {processor}: {why.reason.value} {why.topic}{since}")
    for reason in reasons:
        meaning = MEANING[reason]
        _line(console, f"{reason.value}: {meaning.en}. What to do: {meaning.way_back}")


def tell_groups(
    console: Console,
    groups: Iterable[GroupNumber],
    against: Mapping[str, Sequence[Why]],
) -> None:
    """Print the number of each group, and whether it is one or only an upper bound."""
    table = Table(title="Groups (beside, never instead of, the numbers of their members)")
    for name in ("group", "individuals", "research", "which is", "members", "filed by", "number"):
        table.add_column(name, justify="right" if name in {"individuals", "research"} else "left")
    for one in groups:
        which = "exact" if one.exact else f"an upper bound: {one.why}"
        whys = [why for member in one.group.members for why in against.get(member, ())]
        words = (which, ", ".join(one.group.members), one.group.filed_by or "", trust_of(whys))
        counts = (f"{one.individuals:,}", f"{one.research:,}")
        table.add_row(escape(one.group.name), *counts, *map(escape, words))
    console.print(table)


def tell_ahead(console: Console, found: Status, ahead: Outlooks) -> None:
    """Print what is ahead of each threshold that is not reached, where anything can be said."""
    for one in found.processors:
        for threshold in one.thresholds:
            percent, forecast = ahead.get((one.processor, threshold.rule), (0, None))
            if forecast is None or threshold.reach.trigger_at is not None:
                continue
            passed = f"over {percent} % of the threshold" if percent else ""
            words = f"forecast: {outlook_words(forecast)}" if forecast.first is not None else ""
            if passed or words:
                said = "; ".join(filter(None, (passed, words)))
                _line(console, f"ahead: {one.processor} {threshold.rule}: {said}")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
