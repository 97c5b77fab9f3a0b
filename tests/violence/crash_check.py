"""What must be so at the end of the story, whatever happened on the way.

The oracle says who is stored and when the threshold was reached; ``verify`` says whether registers,
book, chain and positions agree. What only the program itself can say (positions, rejects, counters,
the kinds of notices and audit entries) must be as after a run that nobody disturbed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Engine, select

from monitor.facts import Changed, StorageFact, Terminated, Told
from monitor.store import schema
from monitor.store.engine import reading
from monitor.store.names import Names
from monitor.store.trust import EVERYBODY
from monitor.workdays import beijing_day
from tests import oracle
from tests.integration.store_kit import differences
from tests.receiver import Request
from tests.violence.crash_story import POLICY, STORY

Shown: TypeAlias = Mapping[str, object]

# Times of our own clock, and moments: a restart moves them.
_OURS = frozenset(
    {"read_at", "since", "last_at", "ended_seen_no", "marked_no", "told_silent", "topic_id"}
)
_AS_THEY_ARE = ("positions", "rejects", "ignored", "unverified", "feeds", "topics", "snapshots")


@cache
def _facts(phase: int) -> tuple[StorageFact, ...]:
    facts = STORY.facts(phase)
    return tuple(fact for fact in facts if not isinstance(fact, Told))


@cache
def _owed() -> frozenset[tuple[str, str, str]]:
    """Return the duties that there must be by the oracle, with their trigger days.

    The day of the threshold is the earliest that was ever established: after a phase in which
    everything was read, so that the reach was confirmed.
    """
    last = len(STORY.phases) - 1
    whole = [n for n, phase in enumerate(STORY.phases) if phase.given == phase.ends]
    research = POLICY.marks.research
    numbers = (oracle.timeline(_facts(n), "acme", research) for n in whole)
    reached = [oracle.first_reach(one, 5) for one in numbers]
    owed = {("acme", "frt.file", str(beijing_day(min(at for at in reached if at is not None))))}
    rules = {Terminated: "frt.cancel", Changed: "frt.change"}
    for fact in STORY.facts(last):
        if isinstance(fact, Terminated | Changed):
            owed.add((fact.processor, rules[type(fact)], str(beijing_day(fact.at))))
    return frozenset(owed)


def wrong(engine: Engine, requests: Sequence[Request], undisturbed: Shown | None) -> list[str]:
    """Return what is not as it must be, in words; *undisturbed* is what ``shown`` said then."""
    found = differences(engine, _facts(len(STORY.phases) - 1), POLICY)
    now = shown(engine)
    owed = sorted((p, rule, str(day)) for p, rule, _, day, *_ in _rows(now["duties"]))
    if owed != sorted(_owed()):
        found.append(f"duties {owed}, the oracle says {sorted(_owed())}")
    found += _positions(now)
    found += _notices(engine, requests)
    if undisturbed is not None:
        found += [
            f"{what}: {now[what]}, undisturbed {undisturbed[what]}"
            for what in now
            if now[what] != undisturbed[what]
        ]
    return found


def _rows(value: object) -> Iterable[tuple[Any, ...]]:
    assert isinstance(value, list)
    return value


def _positions(now: Shown) -> list[str]:
    """The next offsets are the ends of the logs."""
    have = {(row["topic"], row["partition"]): row["next_offset"] for row in _dicts(now)}
    ends = STORY.phases[-1].ends
    return [] if have == ends else [f"positions {have}, the logs end at {ends}"]


def _dicts(now: Shown) -> list[dict[str, Any]]:
    return [dict(row) for row in _rows(now["positions"])]


def _notices(engine: Engine, requests: Sequence[Request]) -> list[str]:
    """Each notice came at least once, always the same, was marked, and nothing else came."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for request in requests:
        bodies[request.headers["webhook-id"]].add(request.body)
    with reading(engine) as connection:
        keys = {row.id: row.key for row in connection.execute(select(schema.notices))}
        sent = {row.notice_id: row.sent_at for row in connection.execute(select(schema.deliveries))}
        audit = schema.audit.c
        entries = connection.scalars(select(audit.body).where(audit.kind == "notice.sent"))
        marks = Counter(json.loads(body)["notice"] for body in entries)
    found = [f"{key} never came" for key in keys.values() if key not in bodies]
    found += [f"{key} came and is no notice" for key in bodies if key not in keys.values()]
    found += [f"{key} came as {len(some)} bodies" for key, some in bodies.items() if len(some) > 1]
    found += [f"{keys[number]} is not marked" for number in keys if sent.get(number) is None]
    expected = Counter(keys.values())
    return found if marks == expected else [*found, f"marked in the audit log: {marks}"]


def shown(engine: Engine) -> dict[str, object]:
    """Return what the database says, without its numbers for names and without our own clock."""
    with reading(engine) as connection:
        names = Names.load(connection)
        said: dict[str, object] = {}
        for name in _AS_THEY_ARE:
            table = schema.metadata.tables[name]
            rows = [
                tuple((c, _named(names, c, v)) for c, v in row._mapping.items() if c not in _OURS)  # noqa: SLF001 - the documented way to a row's dict
                for row in connection.execute(select(table))
            ]
            said[name] = sorted(rows, key=repr)
        by_id = names.processor_by_id
        duties, reaches, notices = schema.duties, schema.reaches, schema.notices
        said["duties"] = sorted(
            (by_id[d.processor_id], d.rule, d.key, d.trigger_day, d.trigger_at, d.due_day)
            for d in connection.execute(select(duties))
        )
        said["reaches"] = sorted(
            (by_id[r.processor_id], r.rule, r.trigger_at or 0, r.confirmed_at is not None)
            for r in connection.execute(select(reaches))
        )
        said["notices"] = Counter(
            (n.kind, n.severity, n.processor, n.rule, n.duty)
            for n in connection.execute(select(notices))
        )
        audit = schema.audit.c
        said["audit"] = Counter(map(tuple, connection.execute(select(audit.kind, audit.processor))))
        said["book"] = Counter(connection.scalars(select(schema.book.c.kind)))
    return said


def _named(names: Names, column: str, value: Any) -> Any:
    if column != "processor_id":
        return value
    return "everybody" if value == EVERYBODY else names.processor_by_id[value]
