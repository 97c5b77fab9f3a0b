"""``facetally apply``: records from files through the same decode and keeping as from Kafka."""

from __future__ import annotations

import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from deploy.wiring import Monitor
from monitor.facts import Instant
from monitor.intake import Batch, LogPoint, LogWentBack, Reject
from monitor.limits import RejectLimit
from monitor.store import files
from monitor.store.engine import WorkerLock, reading
from streams.decoding import decode_records
from streams.files import FileDamaged, read_records, topic_of
from streams.records import Adapter, Record

_T = TypeVar("_T")


class WentBack(RuntimeError):
    """The records are of two logs: the message says which partition, and what to do."""


@dataclass(slots=True)
class Applied:
    """What was read: records, facts and rejects, and whether the rejects were too many.

    *unfinished* names the files of other runs for which no reach is confirmed yet.
    """

    records: int = 0
    facts: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    too_many_rejects: bool = False
    unfinished: list[str] = field(default_factory=list)


def apply_files(
    monitor: Monitor,
    paths: Sequence[Path],
    source: str,
    *,
    now: Instant,
    clock: Callable[[], Instant],
    recorded_until: Instant | None = None,
    consumed: Callable[[int], object] = lambda _bytes: None,
    take_settings: bool = False,
) -> Applied:
    """Apply every record of *paths*, then recount what is due and confirm what was reached.

    No position is written. *now* bounds how far ahead a fact may be; *clock* dates the end.
    Raises AlreadyRunning beside a worker on SQLite, FileDamaged and OSError for a broken file,
    WentBack for a change log that goes backwards, and TakenOver if the same file is applied once
    more meanwhile: what was read before is kept then, and recounted, but no reach is confirmed, by
    nobody, until the file has been applied again or a person abandons it. Raises SettingsDiffer if
    the workers have other settings, unless ours are to hold from now on (*take_settings*), and
    SettingsReplaced once one with others has started.
    """
    lock = WorkerLock(monitor.engine)
    try:
        keeper = monitor.keeper(now, take_settings=take_settings)
        adapter = monitor.adapter(source)
        applied = Applied()
        watch = _RejectWatch(monitor.settings.limit)
        logs: dict[tuple[str, int], LogPoint] = {}
        lines = _lines(paths, recorded_until, consumed)
        try:
            keeper.begin_files(_run_of(paths, source))
            for chunk in _chunks(lines, monitor.settings.max_batch_records):
                batches = list(_batches(chunk, source, adapter, now, logs))
                keeper.keep([batch for _, batch in batches])
                _note(applied, batches, watch)
        except BaseException:
            keeper.finish(clock(), confirm=False)  # part of a file is no state that ever was
            raise
        keeper.finish(clock())
        with reading(monitor.engine) as connection:
            applied.unfinished = [one.name for one in files.unfinished(connection)]
        return applied
    finally:
        lock.release()


def _run_of(paths: Iterable[Path], source: str) -> files.Run:
    """Return a new run; a file is the same next time if it is in the same place."""
    keyed = tuple(files.File(_place_of(path), topic_of(path)) for path in paths)
    return files.Run(secrets.token_hex(8), source, tuple(sorted(set(keyed))))


def _place_of(path: Path) -> str:
    return blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()


def _lines(
    paths: Iterable[Path], recorded_until: Instant | None, consumed: Callable[[int], object]
) -> Iterator[tuple[str, Record | Reject]]:
    """Yield what each line is, with the place of its file: two may have one name."""
    for path in paths:
        place = _place_of(path)
        for line in read_records([path], recorded_until=recorded_until, consumed=consumed):
            yield place, line


def _batches(
    chunk: Iterable[tuple[str, Record | Reject]],
    source: str,
    adapter: Adapter,
    now: Instant,
    logs: dict[tuple[str, int], LogPoint],
) -> Iterator[tuple[int, Batch]]:
    """Yield a batch, with its partition, for each partition of each file in *chunk*.

    *logs* has the highest log position of each partition so far, and is kept up to date.
    """
    records: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
    rejects: dict[tuple[str, str, int], list[Reject]] = defaultdict(list)
    for place, line in chunk:
        if isinstance(line, Record):
            records[place, line.topic, line.partition].append(line)
        else:
            rejects[place, line.where.topic, line.where.partition].append(line)
    for (place, topic, partition), found in records.items():
        known = logs.get((topic, partition))
        try:
            batch = decode_records(found, adapter, source, now, None, known=known)
        except LogWentBack:
            raise WentBack(
                f"the change log in {topic}/{partition} goes backwards: if its database was "
                f"replaced, raise epoch in [sources.{source}] and apply the new log by itself"
            ) from None
        if batch.log is not None:
            logs[topic, partition] = batch.log
        yield partition, replace(batch, file=place)
    for (place, topic, partition), broken in rejects.items():
        yield (
            partition,
            Batch(
                source=source,
                topic=topic,
                facts=(),
                read_at=now,
                rejects=broken,
                file=place,
                records=len(broken),
            ),
        )


class _RejectWatch:
    """The reject limit, for each partition in the files."""

    def __init__(self, limit: RejectLimit) -> None:
        self._limit = limit
        self._recent: dict[tuple[str, int], list[list[int]]] = {}

    def exceeded(self, key: tuple[str, int], records: int, rejects: int) -> bool:
        """Note one more batch; tell whether the partition has too many rejects."""
        recent = self._limit.after(self._recent.get(key, []), records, rejects)
        self._recent[key] = recent
        return self._limit.exceeded(recent)


def _note(applied: Applied, batches: Iterable[tuple[int, Batch]], watch: _RejectWatch) -> None:
    for partition, batch in batches:
        key = (batch.topic, partition)
        if watch.exceeded(key, batch.records, len(batch.rejects)):
            applied.too_many_rejects = True
        applied.records += batch.records
        applied.facts += len(batch.facts)
        applied.rejected.update(reject.reason.value for reject in batch.rejects)
        applied.ignored.update({reason.value: n for reason, n in batch.ignored.items()})


def _chunks(lines: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield *lines* by the chunk; where they end in an error, first those that came before it."""
    chunk: list[_T] = []
    try:
        for line in lines:
            chunk.append(line)
            if len(chunk) >= size:
                yield chunk
                chunk = []
    except (FileDamaged, OSError):
        yield chunk
        raise
    yield chunk
