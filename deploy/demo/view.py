"""The live view in a terminal, and the plain lines where there is none.

Both show ``Moment``s: what the database and the webhook receiver say. The lines tell each change
once, with the id of its rule, so that a script can wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.cli.shapes import reached
from deploy.demo import words
from deploy.demo.receiver import Received
from deploy.demo.seen import Seen
from monitor.store.reading import ProcessorStatus

_EVERY_S = 5.0
_NOTICES_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is shown at one time; *second* counts from the first event."""

    second: float
    of: float
    phase: str
    seen: Seen
    rate: float
    received: Sequence[Received] = ()
    refused: int = 0

    @property
    def by_key(self) -> Mapping[str, Received]:
        """What the webhook receiver has, by the key of the notice."""
        return {one.key: one for one in self.received}


class View(Protocol):
    """Shows moments."""

    def show(self, moment: Moment) -> None:
        """Show *moment*."""

    def close(self) -> None:
        """Leave the last moment on the screen."""


class LiveView:
    """Draws over itself in a terminal."""

    def __init__(self, console: Console, folder: str) -> None:
        self._folder = folder
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, moment: Moment) -> None:
        """Draw *moment*."""
        self._live.update(picture(moment, self._folder), refresh=True)

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()


def picture(moment: Moment, folder: str) -> RenderableType:
    """Return *moment* as something that rich draws."""
    return Group(
        _head(moment),
        _stock(moment.seen.status.processors),
        _duties(moment),
        _notices(moment),
        Text(f"data: {folder}   Ctrl-C ends the demo", style="dim"),
    )


def _head(moment: Moment) -> RenderableType:
    status = moment.seen.status
    parts = [
        f"{moment.second:4.0f} of {moment.of:.0f} s",
        moment.phase,
        f"{moment.rate:,.0f} events/s",
        f"{moment.seen.records:,} records",
        words.rejected(status.rejected),
        f"{sum(status.ignored.values())} ignored",
    ]
    return Text.assemble(("facetally demo  ", "bold"), "  ·  ".join(parts))


def _stock(processors: Sequence[ProcessorStatus]) -> RenderableType:
    table = Table(expand=True, title="Stored individuals", title_justify="left")
    table.add_column("processor", no_wrap=True)
    table.add_column("against the threshold", ratio=1)
    for name in ("individuals", "of", "reached", "research, apart", "systems", "number"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in processors:
        threshold = words.watched(one)
        limit = threshold.at_least if threshold else 0
        standing = reached(threshold) if threshold else ""
        style = {"yes": "red", "pending": "yellow"}.get(standing, "green")
        count = one.stock.individuals
        table.add_row(
            one.processor,
            ProgressBar(
                total=max(limit, 1),
                completed=min(count, limit),
                complete_style=style,
                finished_style=style,
            ),
            Text(f"{count:,}", style="bold"),
            f"{limit:,}",
            Text(standing, style=style),
            f"{one.stock.research:,}",
            str(sum(1 for stored in one.stock.systems.values() if stored)),
            words.trust(one),
        )
    return table


def _duties(moment: Moment) -> RenderableType:
    seen = moment.seen
    if not seen.duties:
        return Panel(Text("no duty is open", style="dim"), title="Duties", title_align="left")
    lines = []
    for duty in seen.duties:
        extra = words.still_stored(duty, seen.status.processors)
        lines.append(
            Text.assemble(
                (duty.rule, "bold red"),
                f"  {duty.processor}  {duty.status}  trigger day {duty.trigger_day}  due ",
                (words.due(duty), "bold"),
                f"  {words.left(duty)}",
            )
        )
        lines.append(
            Text(
                f"   proof: {words.proof(duty)}; audit {words.audit_of(duty, seen.told)}"
                + (f"; {extra}" if extra else ""),
            )
        )
    lines.append(
        Text(f"audit log: {seen.audit_entries} entries, head {words.short(seen.audit_head)}", "dim")
    )
    return Panel(Group(*lines), title="Duties", title_align="left")


def _notices(moment: Moment) -> RenderableType:
    told, by_key = moment.seen.told, moment.by_key
    lines = [
        Text(
            f"{one.kind.value}  {one.rule or ''}  {one.processor or ''}  "
            f"{words.delivered(one, by_key)}  [{words.short(one.key.partition(':')[2])}]",
            style="" if one.sent_at else "yellow",
        )
        for one in told[-_NOTICES_SHOWN:]
    ]
    if moment.refused:
        lines.append(Text(f"{moment.refused} with a bad signature refused", style="red"))
    if not lines:
        lines.append(Text("no notice yet", style="dim"))
    return Panel(Group(*lines), title="Notices", title_align="left")


@dataclass
class Lines:
    """Prints what is new, and every five seconds how it stands."""

    console: Console
    _last: float = -_EVERY_S
    _told: set[tuple[str, ...]] = field(default_factory=set)

    def show(self, moment: Moment) -> None:
        """Print what *moment* has new."""
        for key, text in news(moment):
            if key not in self._told:
                self._told.add(key)
                self._print(moment.second, text)
        if moment.second - self._last >= _EVERY_S:
            self._last = moment.second
            self._print(moment.second, standing(moment))

    def close(self) -> None:
        """Nothing is open."""

    def _print(self, second: float, text: str) -> None:
        self.console.print(
            f"{second:5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True
        )


def standing(moment: Moment) -> str:
    """Return one line of how all stands."""
    stocks = []
    for one in moment.seen.status.processors:
        threshold = words.watched(one)
        limit = f" of {threshold.at_least:,}" if threshold else ""
        apart = f" (research, apart: {one.stock.research:,})" if one.stock.research else ""
        unsure = f" [{words.trust(one)}]" if one.unverified else ""
        stocks.append(f"{one.processor} {one.stock.individuals:,}{limit}{apart}{unsure}")
    rejected = words.rejected(moment.seen.status.rejected)
    return "; ".join([*stocks, f"{moment.rate:,.0f} events/s", rejected, moment.phase])


def news(moment: Moment) -> list[tuple[tuple[str, ...], str]]:
    """Return what a change of state says, each under the key by which it is said once."""
    found: list[tuple[tuple[str, ...], str]] = []
    for one in moment.seen.status.processors:
        for threshold in one.thresholds:
            standing = reached(threshold)
            if standing != "no":
                text = f"REACHED {threshold.rule} {one.processor}: {threshold.at_least:,}, "
                text += "confirmed" if standing == "yes" else "pending until all partitions agree"
                found.append((("reached", threshold.rule, one.processor, standing), text))
        if one.recount_pending:
            text = f"LOOKING BACK at all facts of {one.processor}: a late one may change the day"
            found.append((("recount", one.processor), text))
    for duty in moment.seen.duties:
        audit = words.audit_of(duty, moment.seen.told)
        text = (
            f"DUTY {duty.rule} {duty.processor}: trigger day {duty.trigger_day}, due "
            f"{words.due(duty)}, {words.left(duty)}; proof: {words.proof(duty)}; audit {audit}"
        )
        found.append((("duty", duty.rule, duty.processor, duty.trigger_day), text))
    by_key = moment.by_key
    for told in moment.seen.told:
        state = words.delivered(told, by_key)
        if told.sent_at is not None:
            text = (
                f"NOTICE {told.rule} {told.processor}: {told.kind.value}, {state}, key {told.key}"
            )
            found.append((("notice", told.key, told.channel), text))
    return found
