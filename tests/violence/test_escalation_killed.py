"""Who is killed while escalating, muting, reminding or taking an acknowledgement doubles nothing.

A short story of the alerts process, stage by stage, killed at each of its steps (each statement,
and both sides of each commit and each send), then begun again 150 s later where it was. The end is
that of an undisturbed run: what was told, by key, what was skipped and why, and every entry.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Engine, select

from alerts.outbox import Retry, send_next
from monitor.facts import Instant
from monitor.notices import Kind, Notice
from monitor.reminders import Ladder
from monitor.store import audit, muted, schema
from monitor.store.acknowledging import Said, acknowledge
from monitor.store.engine import open_engine, reading
from monitor.store.muted import Expiring, Wanted
from monitor.store.reminding import Reminding
from tests.integration.feed import TWO, confirmed, on
from tests.integration.store_kit import CALENDAR, MINUTE, NOW, SECOND, empty, sqlite_engine
from tests.integration.test_store_pages import CHANNELS, HOUR, Office, page
from tests.violence.crash_steps import KILLED, Killer, Recorder, Switch, watched

RETRY = Retry(jitter=lambda: 0.5)
LATER: Instant = 150 * SECOND
SOME = 12  # in `make check`: every so many steps, and after half of the commits
MUTED = page("muted", kind=Kind.LOG_WENT_BACK)
Shown: TypeAlias = dict[str, object]


class Written:
    """A channel to a receiver that outlives us: it writes down each key on the disk."""

    def __init__(self, name: str, heard: Path, probe: Any) -> None:
        self.name, self._heard, self._probe = name, heard, probe

    def send(self, notice: Notice, now: Instant) -> str:  # noqa: ARG002 - as the protocol
        self._probe.before("send")
        with self._heard.open("a") as file:
            file.write(f"{self.name} {notice.key}\n")
        self._probe.after("send")
        return "200"


@dataclass
class World:
    url: str
    folder: Path

    @property
    def heard(self) -> Path:
        return self.folder / "heard"

    @property
    def stage(self) -> Path:
        return self.folder / "stage"

    @property
    def word(self) -> Path:
        return self.folder / "word"


def prepare(engine: Engine, world: World) -> None:
    """A duty, a page, and one that is muted for an hour: what workers and people wrote before."""
    empty(engine)
    office = Office(engine)
    confirmed(engine, TWO)
    office.put(page("a"), MUTED)
    wanted = Wanted(until=NOW + HOUR, by="ops", reason="works", kind=Kind.LOG_WENT_BACK)
    muted.add(engine, wanted, NOW)
    for file in (world.heard, world.stage, world.word):
        file.write_text("")


def live(world: World, first: int, probe: Any) -> None:
    """Live the story from stage *first* on, in a process of our own."""
    engine = open_engine(world.url)
    watched(engine, probe)
    office = Office(engine)
    phones = [Written(name, world.heard, probe) for name in CHANNELS]

    def send(now: Instant) -> None:
        for phone in phones:
            while send_next(office.outbox, phone, now, RETRY, judge=office.judge):
                pass

    def both(now: Instant) -> None:
        send(now)
        office.escalating.look(now)
        send(now)

    def have(now: Instant) -> None:
        acknowledge(engine, Said(what=page("a").key, by="ann", how="command"), now)

    def remind(now: Instant) -> None:
        Reminding(engine, Ladder(), lambda: CALENDAR).look(now)
        send(now)

    stages: Sequence[tuple[Instant, Callable[[Instant], None]]] = (
        (NOW + 3 * SECOND, both),
        (NOW + 35 * MINUTE, both),
        (NOW + HOUR, Expiring(engine, lambda _: None).look),
        (NOW + HOUR + 10 * MINUTE, send),
        (NOW + HOUR + 20 * MINUTE, have),
        (NOW + 2 * HOUR + 10 * MINUTE, both),
        (on("2026-04-13"), remind),
    )
    for number, (now, act) in enumerate(stages):
        if number >= first:
            world.stage.write_text(str(number))
            act(now + (LATER if world.word.read_text() else 0))
    engine.dispose()


def forked(work: Callable[[], None]) -> int:
    """Do *work* in a fork; return its exit code."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def shown(engine: Engine, world: World) -> Shown:
    """Return what is compared at the end."""
    n, d = schema.notices.c, schema.deliveries.c
    with reading(engine) as connection:
        assert audit.broken_at(connection) is None
        rows = connection.execute(
            select(n.key, d.channel, d.sent_at, d.skipped, d.silence).join(
                schema.deliveries, d.notice_id == n.id
            )
        ).all()
        entries = Counter(entry.kind for entry in audit.entries(connection))
    return {
        "heard": set(world.heard.read_text().splitlines()),
        "deliveries": sorted(
            (row.key, row.channel, row.sent_at is not None, row.skipped or "", row.silence or 0)
            for row in rows
        ),
        "entries": entries,
        "wrong": Office(engine).wrong(),
    }


def say(world: World, number: int, label: str) -> None:
    world.word.write_text(f"{number} {label}")


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "sqlite":
        with sqlite_engine(tmp_path) as engine:
            yield World(engine.url.render_as_string(hide_password=False), tmp_path)
        return
    url = request.getfixturevalue("postgres_url")
    engine = open_engine(url)
    schema.metadata.create_all(engine)
    engine.dispose()
    yield World(url, tmp_path)


def undisturbed(world: World) -> tuple[list[str], Shown]:
    """Return the steps of a life that nobody ends, and what it leaves."""
    steps = Recorder()
    engine = open_engine(world.url)
    prepare(engine, world)
    live(world, 0, steps)
    left = shown(engine, world)
    engine.dispose()
    return steps.labels, left


def test_whoever_is_killed_at_any_step_tells_each_page_and_each_step_once(world: World) -> None:
    labels, expected = undisturbed(world)
    every = 1 if os.environ.get("FACETALLY_VIOLENCE") == "full" else SOME
    wanted = [
        number
        for number, label in enumerate(labels, start=1)
        if number % every == 0 or (label == "after COMMIT" and number % 2)
    ]
    wrong: dict[str, object] = {}
    for number in wanted:
        engine = open_engine(world.url)
        prepare(engine, world)
        engine.dispose()
        code = forked(partial(live, world, 0, Killer(number, partial(say, world))))
        assert code == KILLED, f"step {number}"
        assert world.word.read_text() == f"{number} {labels[number - 1]}"
        first = int(world.stage.read_text() or "0")
        assert forked(partial(live, world, first, Switch())) == 0
        engine = open_engine(world.url)
        found = shown(engine, world)
        engine.dispose()
        if found != expected:
            wrong[world.word.read_text()] = {
                name: (found[name], expected[name])
                for name in found
                if found[name] != expected[name]
            }

    assert len(labels) > 100
    assert len(wanted) > 30
    assert expected["wrong"] == []
    assert len(expected["heard"]) >= 8  # type: ignore[arg-type]  # a set, as shown() has it
    assert wrong == {}


def test_the_story_is_the_same_each_time(world: World) -> None:
    """Or a number would say nothing."""
    assert undisturbed(world) == undisturbed(world)
