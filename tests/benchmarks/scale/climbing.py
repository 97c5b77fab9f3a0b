"""From milestone to milestone: what was measured, and that every number was right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from monitor.store.engine import is_sqlite, open_engine
from tests.benchmarks.scale.building import Said, Spent
from tests.benchmarks.scale.commands import Home, Keeper, Ran
from tests.benchmarks.scale.population import PROCESSOR


class WrongNumber(AssertionError):
    """The database says another number than what is true: no figure is worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """What was measured with so many individuals; sizes in bytes."""

    individuals: int
    facts: int
    grown: Spent
    lived: Spent
    resident: int
    database: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """A whole way up, and what came after it."""

    milestones: Sequence[Milestone]
    verified: Ran
    purged: Spent | None
    left: int  # individuals at the end

    @property
    def writes_itself(self) -> bool:
        """Tell whether the process that keeps wrote to the disk, and not a server beside it."""
        return any(one.lived.written for one in self.milestones)

    def ratio(self, one: Milestone, *, cpu: bool = False) -> float:
        """Return the cost of an event at a milestone against that at the first."""
        first = self.milestones[0].lived
        if cpu:
            return (one.lived.cpu / one.lived.facts) / (first.cpu / first.facts)
        return one.lived.each / first.each


def climb(
    home: Home,
    milestones: Sequence[int],
    *options: str,
    purge: bool = False,
    pausing: Callable[[int], None] = lambda _individuals: None,
) -> Climb:
    """Build a population over *home*, and compare every number with what is true.

    *pausing* is called at each milestone while exactly so many are stored and nobody writes.
    Raises WrongNumber.
    """
    found = []
    upgraded = home.run("db", "upgrade")
    assert upgraded.code == 0, upgraded.out
    more = ("--purge",) if purge else ()
    with Keeper(home, milestones, *options, *more) as keeper:
        for individuals in milestones:
            grown = keeper.next()
            if grown.stored != individuals:
                raise WrongNumber(f"the population has {grown.stored}, not {individuals}")
            _compare(home, grown)
            pausing(individuals)
            lived = keeper.next()
            _compare(home, lived)
            found.append(
                Milestone(
                    individuals=individuals,
                    facts=lived.facts,
                    grown=grown.spent,
                    lived=lived.spent,
                    resident=lived.resident,
                    database=_size(home),
                )
            )
        last = keeper.next()
        _compare(home, last)
        _compare_duty(home, last)
    return Climb(
        milestones=found,
        verified=_verified(home),
        purged=last.spent if purge else None,
        left=last.stored,
    )


def _compare(home: Home, said: Said) -> None:
    """Compare the numbers with those of ``facetally status``."""
    (shown,) = home.json("status")["processors"]
    kept = {one["system"]: one["individuals"] for one in shown["systems"] if one["individuals"]}
    systems = {system: number for system, number in said.systems.items() if number}
    if (shown["individuals"], kept) != (said.stored, systems):
        raise WrongNumber(
            f"status says {shown['individuals']} and {kept}, true are {said.stored} and {systems}"
        )


def _compare_duty(home: Home, said: Said) -> None:
    """Compare the instants of the reaches with those of the population."""
    duties = home.json("duties")["duties"]
    proofs = {one["proof"]["at_least"]: one["proof"]["trigger_at"] for one in duties}
    reached = {int(number): at for number, at in said.reached_at.items()}
    if len(duties) != len(reached) or proofs != reached:
        raise WrongNumber(f"duties of {proofs}, true are {reached}")


def _verified(home: Home) -> Ran:
    ran = home.run("verify", "--json")
    wrong: list[Any] = [one for one in json.loads(ran.out)["checks"] if not one["holds"]]
    if ran.code != 0 or wrong:
        raise WrongNumber(f"verify of {PROCESSOR} ended with {ran.code}: {wrong}")
    return ran


def _size(home: Home) -> int:
    engine = open_engine(home.database_url)
    try:
        if is_sqlite(engine):
            path = Path(str(engine.url.database))
            return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        with engine.connect() as connection:
            query = text("SELECT pg_database_size(current_database())")
            return int(connection.execute(query).scalar_one())
    finally:
        engine.dispose()
