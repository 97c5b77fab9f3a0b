"""The settings that a database is kept with, and who has others.

Who starts to keep facts registers its settings: from then on whoever has others keeps nothing,
looks back on nothing and confirms nothing (``SettingsReplaced``), whatever process it is. It is
asked under the locks of the processors, which whoever registers takes afterwards
(``marking.py``), so that nobody is between asking and writing then. Places get their marks before
there is a lock of their own: who gives them out (``hold``) and who registers take turns.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select

from monitor.agreeing import Agreed, Difference
from monitor.facts import Instant
from monitor.store import audit, bulk, schema
from monitor.store.engine import is_sqlite, reading
from monitor.store.locks import lock_settings, share_settings

CHANGED = "settings.changed"

_TEXT, _FINGERPRINT = "settings", "settings_fingerprint"
_NAMED = 20  # of what differs, in a sentence


class SettingsReplaced(RuntimeError):
    """A process with other settings has started since; nothing was kept."""


class SettingsDiffer(RuntimeError):
    """A command has other settings than the workers; the message says in what."""


def register(engine: Engine, ours: Agreed, now: Instant, *, take: bool) -> None:
    """Have *ours* hold from now on; a change is one entry of the audit log.

    Without *take* others that hold are not replaced: raises SettingsDiffer. On SQLite they are,
    because nobody else can be at work with them, but for rules: they move days that the law sets.
    """
    with reading(engine) as connection:
        if _fingerprint(connection) == ours.fingerprint:
            return
    with engine.begin() as connection:
        lock_settings(connection)
        known = registered(connection)
        if known == ours:
            return
        if known is not None:
            differences = ours.after(known)
            ruled = any(one.what == "rule" for one in differences)
            if not take and (ruled or not is_sqlite(connection)):
                raise _differ(differences)
            body = {"changed": [one._asdict() for one in differences]}
            audit.append(connection, now, CHANGED, None, body)
        rows = [(_FINGERPRINT, ours.fingerprint), (_TEXT, ours.text)]
        bulk.upsert(connection, schema.meta, rows)


def check(connection: Connection, ours: Agreed) -> None:
    """Raise SettingsReplaced if other settings than *ours* have been registered since."""
    if _fingerprint(connection) not in {None, ours.fingerprint}:
        known = registered(connection)
        others = named(ours.after(known)) if known is not None else ""
        raise SettingsReplaced(
            f"this process has other settings than the one that was started last: {others} "
            "differ; it keeps and confirms nothing more: restart it with the same settings"
        )


def check_command(connection: Connection, ours: Agreed) -> None:
    """Raise SettingsDiffer if others than *ours* hold: a person's command would mix them in."""
    if _fingerprint(connection) not in {None, ours.fingerprint}:
        known = registered(connection)
        raise _differ(ours.after(known) if known is not None else [])


def hold(connection: Connection, ours: Agreed) -> None:
    """Do as ``check``, and let nobody register others until the end of the transaction."""
    share_settings(connection)
    check(connection, ours)


def named(differences: list[Difference]) -> str:
    """Return what differs, for a sentence: names of rules, systems and topics."""
    more = len(differences) - _NAMED
    some = ", ".join(map(str, differences[:_NAMED]))
    return f"{some} and {more} more" if more > 0 else some


def _differ(differences: list[Difference]) -> SettingsDiffer:
    return SettingsDiffer(
        "these settings are not those that the workers of this database have: "
        f"{named(differences)} differ; use the settings file of the workers, or, if "
        "these are to hold from now on, restart all workers with them (where there "
        "are none: facetally apply --take-settings)"
    )


def _fingerprint(connection: Connection) -> str | None:
    return _value(connection, _FINGERPRINT)


def registered(connection: Connection) -> Agreed | None:
    """Return the settings that hold, or None where nobody has kept anything yet."""
    text = _value(connection, _TEXT)
    return None if text is None else Agreed(text)


def _value(connection: Connection, name: str) -> str | None:
    found: str | None = connection.scalar(
        select(schema.meta.c.value).where(schema.meta.c.name == name)
    )
    return found
