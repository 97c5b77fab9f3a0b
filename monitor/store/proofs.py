"""The number in the proof of a duty that an event of a file opened, once all files are read.

While a file is read the number is one that never was, and nothing about it can be relied on. The
duty is opened all the same, as its day does not depend on a number; what its proof says of the
number then is put right when the last file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, Engine

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.rules import CHANGED, TERMINATED
from monitor.store import audit, files, owing, schema, terminating
from monitor.store.engine import reading
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.terminating import Law
from monitor.trust import Doubt

_NUMBER = ("individuals", "verified", "unverified")


def finish(engine: Engine, names: Names, law: Law, now: Instant) -> None:
    """Write the numbers of *now* where a file was unfinished, unless one still is."""
    with reading(engine) as connection:
        if files.any_in_work(connection):
            return
        held = [duty for _, duty in owing.read_duties(connection, names) if _is_of_a_part(duty)]
    for processor in sorted({duty.processor for duty in held}):
        with engine.begin() as connection:
            lock_processors(connection, [names.processor_ids[processor]])
            _finish(connection, names, law, processor, now)


def _finish(connection: Connection, names: Names, law: Law, processor: str, now: Instant) -> None:
    mine = [schema.duties.c.processor_id == names.processor_ids[processor]]
    for number, duty in list(owing.read_duties(connection, names, mine)):
        if not _is_of_a_part(duty):
            continue
        fresh = terminating.proof_of(connection, names, law, processor, duty.trigger_at, now)
        known = {name: fresh[name] for name in _NUMBER if name in fresh}
        after = replace(duty, proof={**duty.proof, **known, "number_known_at": now})
        owing.replace_duty(connection, number, after)
        body = {"before": owing.describe(duty), "after": owing.describe(after)}
        audit.append(connection, now, "duty.proof_refined", processor, body)


def _is_of_a_part(duty: Duty) -> bool:
    """Tell whether an event opened *duty* while the number was that of a part of a file."""
    said = duty.proof.get("unverified")
    if duty.proof.get("event") not in {TERMINATED, CHANGED} or not isinstance(said, list):
        return False
    return any(
        isinstance(one, Mapping) and one.get("reason") == Doubt.FILE_UNFINISHED for one in said
    )
