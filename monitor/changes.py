"""Candidates for a material change of filed facts: proposed with evidence, decided by a person.

Order No. 19 (CAC, MPS) art. 15 has material changes filed within 30 working days and does not say
what is material. So nothing here opens a duty: what differs from the newest completed filing is
proposed, once, and a person confirms or dismisses it. Retention, storage, measures and providers
are not in any event; a person tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, TypeAlias

FAR: Final = 0.2
"""How far the number may be from the filed one before it is proposed as a change, by default."""

PlaceName: TypeAlias = tuple[str, str]
"""System and gallery; the unnamed gallery is the empty text."""


class ChangeKind(StrEnum):
    """What may have changed. Closed list; the first five are seen by us."""

    SYSTEM = "system"
    GALLERY = "gallery"
    PURPOSE = "purpose"  # the mark of a system or gallery, research or operation
    NUMBER = "number"
    ASSESSMENT = "assessment"  # of a system none is recorded
    RETENTION = "retention"
    PROVIDER = "provider"
    STORAGE = "storage"
    MEASURES = "measures"
    OTHER = "other"


SEEN: Final = frozenset(
    {
        ChangeKind.SYSTEM,
        ChangeKind.GALLERY,
        ChangeKind.PURPOSE,
        ChangeKind.NUMBER,
        ChangeKind.ASSESSMENT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is compared: the places with their marks (true: research), and the number."""

    individuals: int
    places: Mapping[PlaceName, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A change that may be material. *what* makes it the same one if it is found again."""

    kind: ChangeKind
    what: str
    system: str | None = None
    gallery: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict, hash=False)


def candidates(
    filing: str | None, filed: Picture, now: Picture, assessed: frozenset[str], far: float
) -> Iterator[Candidate]:
    """Yield what differs from what was filed; *filing* names the submission that said it.

    *assessed* are the systems for which an impact assessment is recorded, *far* is a share of the
    filed number. Research is outside the Measures (art. 2), and only its mark is looked at.
    Without a *filing* there is nothing to compare with, but an assessment can be missing.
    """
    if filing is not None:
        yield from _differing(filing, filed, now)
    operating = {system for (system, _), research in now.places.items() if not research}
    for system in sorted(operating - assessed):
        yield _of(ChangeKind.ASSESSMENT, "", system, None, {"recorded": None})
    if filing is not None:
        yield from _number(filing, filed.individuals, now.individuals, far)


def _differing(filing: str, filed: Picture, now: Picture) -> Iterator[Candidate]:
    systems = {system for system, _ in filed.places}
    new = {system for (system, _), research in now.places.items() if not research} - systems
    for system in sorted(new):
        yield _of(ChangeKind.SYSTEM, filing, system, None, {"not_in": filing})
    for (system, gallery), research in sorted(now.places.items()):
        was = filed.places.get((system, gallery))
        if was is None:
            if not research and system not in new:
                yield _of(ChangeKind.GALLERY, filing, system, gallery, {"not_in": filing})
        elif was != research:
            marks = {"filed": _purpose(was), "now": _purpose(research)}
            yield _of(ChangeKind.PURPOSE, filing, system, gallery, marks)


def _number(filing: str, filed: int, now: int, far: float) -> Iterator[Candidate]:
    """Yield how many times *far* the number is from the filed one: each time once more."""
    times = _times(filed, now, far)
    if times:
        evidence = {
            "filed": filed,
            "now": now,
            "percent": round(100 * (now - filed) / filed, 1) if filed else None,
        }
        yield Candidate(kind=ChangeKind.NUMBER, what=f"{filing}:{times:+d}", evidence=evidence)


def _times(filed: int, now: int, far: float) -> int:
    """Return how many times *far* the number is from the filed one; below zero if it fell."""
    times = int(abs(now - filed) / (filed * far)) if filed else int(now > 0)
    return times if now > filed else -times


def passed_on(filed: int, times: int, noted: Iterable[tuple[date, int]], far: float) -> date | None:
    """Return since which day the number has been *times* *far* from *filed*, or further.

    Below zero it is that far below. *noted* are days in their order, each with the number at its
    end; None: at the last of them it is not.
    """
    since = None
    for day, number in noted:
        away = _times(filed, number, far)
        beyond = away >= times if times > 0 else away <= times
        since = (since or day) if beyond else None
    return since


def _of(
    kind: ChangeKind,
    filing: str,
    system: str,
    gallery: str | None,
    evidence: Mapping[str, object],
) -> Candidate:
    what = repr((filing, system, gallery))
    return Candidate(kind=kind, what=what, system=system, gallery=gallery, evidence=evidence)


def _purpose(research: bool) -> str:  # noqa: FBT001 - a mark, not a switch
    return "research" if research else "operation"
