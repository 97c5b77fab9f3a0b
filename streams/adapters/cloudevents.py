"""CloudEvents 1.0 of our own vocabulary (``contract.py``), structured and binary mode, to facts.

What an event must carry is in the contract, how it is read in ``envelope.py``. Only facts with
hashed ids leave; ``reason`` and ``description`` are never kept, they may hold a person's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar, Final, NamedTuple, TypeAlias

from monitor.facts import (
    UNNAMED,
    Changed,
    Enrolled,
    Fact,
    Filed,
    Instant,
    Linked,
    Place,
    Purged,
    Removed,
    Store,
    SubjectRemoved,
    Terminated,
    Version,
)
from monitor.identity import Identity
from monitor.intake import Decoded, Ignored, Reason, SnapshotSign
from streams.adapters import checks
from streams.adapters.contract import KINDS, Kind, json_schema
from streams.adapters.envelope import Data, Event, read
from streams.records import Record, Undecodable

__all__ = ["CloudEvents", "json_schema"]


class _Spot(NamedTuple):
    place: Place
    store: Store


_Build: TypeAlias = Callable[["CloudEvents", Event, Instant, Version], Fact]

_TOMBSTONE: Final = Decoded(ignored=Ignored.TOMBSTONE)
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MOST_CHANGED: Final = 32
_MOST_SPOTS: Final = 65_536

OTHER: Final = "other"
"""Stands for what was said to have changed and is no plain field name."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A row of the contract in the form that decides quickest."""

    needs: Callable[[Event], tuple[object, ...]]
    either: Callable[[Event], tuple[object, ...]] | None
    pairs: tuple[Callable[[Event], tuple[object, ...]], ...]
    build: _Build

    def check(self, event: Event) -> None:
        """Raise MISSING_FIELD unless all is there that an event of this kind needs."""
        if not all(self.needs(event)):
            raise Undecodable(Reason.MISSING_FIELD)
        if self.either is not None and not any(self.either(event)):
            raise Undecodable(Reason.MISSING_FIELD)
        for pair in self.pairs:
            held, other = pair(event)
            if held and not other:
                raise Undecodable(Reason.MISSING_FIELD)


def _rule(kind: Kind, build: _Build) -> _Rule:
    return _Rule(
        needs=attrgetter("type", "time", *map(_path, kind.required)),
        either=attrgetter(*map(_path, kind.either)) if kind.either else None,
        pairs=tuple(attrgetter(_path(a), _path(b)) for a, b in kind.only_with.items()),
        build=build,
    )


def _path(field: str) -> str:
    return field if field == "subject" else f"data.{field}"


def _rules(builds: Mapping[str, _Build]) -> dict[str, _Rule]:
    return {name: _rule(kind, builds[name]) for name, kind in KINDS.items() if kind.built}


class CloudEvents:
    """An ``Adapter`` for ``facetally.*`` events, hashing ids with *identity*.

    *tolerance_us* bounds how far ahead of its record an event may be. With *offset_is_sequence*
    the Kafka offset orders events of one time that carry no ``sequence``: only for topics that
    are keyed by slot. *complete* false says that faces were stored before the first event: each
    record then carries the sign of a snapshot that has not ended.

    Not safe for use by several threads at once.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        tolerance_us: int = checks.TOLERANCE_US,
        offset_is_sequence: bool = False,
        complete: bool = True,
    ) -> None:
        self._identity = identity
        self._tolerance_us = tolerance_us
        self._offset_is_sequence = offset_is_sequence
        self._complete = complete
        self._spots: dict[tuple[str | None, str | None, str], _Spot] = {}

    def decode(self, record: Record, read_at: Instant) -> Decoded:
        """Return the one fact of *record*, or raise Undecodable; no other exception leaves.

        A null value is a tombstone in either mode. *read_at* is our clock in microseconds UTC.
        """
        if record.value is None:
            return _TOMBSTONE
        event = read(record.value, record.headers)
        rule = self._RULES[event.type]
        rule.check(event)
        at = checks.bounded(
            checks.rfc3339(event.time), record.timestamp, read_at, self._tolerance_us
        )
        sequence = event.sequence
        if sequence is None or sequence == "":
            sequence = record.offset if self._offset_is_sequence else 0
        version = Version(at, checks.sequence(sequence) if sequence else 0, 0)
        fact = rule.build(self, event, at, version)
        if self._complete:
            return Decoded((fact,), None, at)
        return Decoded((fact,), None, at, SnapshotSign(record.topic, at, row=True))

    def _spot(self, data: Data) -> _Spot:
        key = (data.processor, data.system, data.gallery or "")
        spot = self._spots.get(key)
        if spot is None:
            place = Place(
                checks.name(data.processor),
                checks.name(data.system),
                _optional_name(data.gallery) or "",
            )
            # As JSON, so that no two places share a name whatever is in their names.
            spot = _Spot(place, Store(json.dumps(place, ensure_ascii=False)))
            if len(self._spots) >= _MOST_SPOTS:
                self._spots.clear()
            self._spots[key] = spot
        return spot

    def _subject(self, event: Event, processor: str, system: str | None) -> bytes:
        return self._identity.subject(processor, system, checks.ident(event.subject))

    def _face(self, event: Event, store: Store) -> bytes:
        face = event.data.face
        return self._identity.face(store.name, checks.ident(face)) if face else UNNAMED

    def _enrolled(self, event: Event, at: Instant, version: Version) -> Fact:
        place, store = self._spot(event.data)
        subject = self._subject(event, place.processor, place.system)
        return Enrolled(store, self._face(event, store), place, subject, version, at, at)

    def _removed(self, event: Event, at: Instant, version: Version) -> Fact:
        place, store = self._spot(event.data)
        if event.data.face:  # whoever owns it, so the subject is not asked
            return Removed(store, self._face(event, store), None, None, version, at, at)
        subject = self._subject(event, place.processor, place.system)
        return Removed(store, UNNAMED, place, subject, version, at, at)

    def _subject_removed(self, event: Event, at: Instant, version: Version) -> Fact:
        processor = checks.name(event.data.processor)
        system = _optional_name(event.data.system)
        gallery = _optional_name(event.data.gallery)
        subject = self._subject(event, processor, system)
        return SubjectRemoved(processor, system, gallery, subject, version, at)

    def _gallery_purged(self, event: Event, at: Instant, version: Version) -> Fact:
        place, _ = self._spot(event.data)
        return Purged(place.processor, place.system, place.gallery, version, at)

    def _system_purged(self, event: Event, at: Instant, version: Version) -> Fact:
        processor, system = checks.name(event.data.processor), checks.name(event.data.system)
        return Purged(processor, system, None, version, at)

    def _linked(self, event: Event, at: Instant, version: Version) -> Fact:
        processor = checks.name(event.data.processor)
        individual = self._identity.subject(processor, None, checks.ident(event.data.individual))
        subject = self._subject(event, processor, _optional_name(event.data.system))
        return Linked(processor, subject, individual, version, at)

    def _unlinked(self, event: Event, at: Instant, version: Version) -> Fact:
        processor = checks.name(event.data.processor)
        subject = self._subject(event, processor, _optional_name(event.data.system))
        return Linked(processor, subject, None, version, at)

    def _terminated(self, event: Event, at: Instant, version: Version) -> Fact:
        return Terminated(checks.name(event.data.processor), version, at)

    def _changed(self, event: Event, at: Instant, version: Version) -> Fact:
        processor = checks.name(event.data.processor)
        return Changed(processor, _plain(event.data.changed or ()), version, at)

    def _filed(self, event: Event, at: Instant, version: Version) -> Fact:
        data = event.data
        return Filed(
            checks.name(data.processor),
            event.type.rpartition(".")[2],
            _optional_name(data.rule),
            _optional_name(data.duty),
            _optional_name(data.reference),
            version,
            at,
        )

    _RULES: ClassVar = _rules(
        {
            "facetally.face.enrolled": _enrolled,
            "facetally.face.removed": _removed,
            "facetally.subject.removed": _subject_removed,
            "facetally.gallery.purged": _gallery_purged,
            "facetally.system.purged": _system_purged,
            "facetally.subject.linked": _linked,
            "facetally.subject.unlinked": _unlinked,
            "facetally.processor.terminated": _terminated,
            "facetally.registration.changed": _changed,
            "facetally.filing.submitted": _filed,
            "facetally.filing.returned": _filed,
            "facetally.filing.completed": _filed,
            "facetally.filing.failed": _filed,
            "facetally.filing.terminated": _filed,
        }
    )


def _optional_name(value: str | None) -> str | None:
    return checks.name(value) if value else None


def _plain(changed: Sequence[object]) -> tuple[str, ...]:
    # A clock starts on this event, so a strange item does not reject it; but nothing that could
    # be a sentence about a person is kept.
    names = [
        item if isinstance(item, str) and _FIELD_NAME.fullmatch(item) else OTHER
        for item in changed[:_MOST_CHANGED]
    ]
    return tuple(dict.fromkeys(names))
