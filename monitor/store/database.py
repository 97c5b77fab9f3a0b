"""Is this database ours? Migrations, and the fingerprint of the secret it was hashed under."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, insert, select

from monitor.store import schema
from monitor.store.engine import reading

_FINGERPRINT = "secret_fingerprint"


class WrongDatabase(RuntimeError):
    """The database is of another version, or of another secret; the message says what to do."""


def upgrade(engine: Engine) -> str:
    """Bring the schema to the newest version; return it. Needs nobody else to be writing.

    Raises WrongDatabase if a newer program has upgraded it already.
    """
    config = _config()
    with engine.connect() as connection:
        _refuse_unknown(MigrationContext.configure(connection).get_current_revision())
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    return _newest()


def check_version(engine: Engine) -> None:
    """Raise WrongDatabase unless the schema is at the version of this program."""
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    newest = _newest()
    if found is None:
        raise WrongDatabase("the database has no tables of facetally: run 'facetally db upgrade'")
    if found == newest:
        return
    _refuse_unknown(found)
    raise WrongDatabase(
        f"the database is at version {found}, this program needs {newest}: stop all workers "
        "and run 'facetally db upgrade'"
    )


def _refuse_unknown(found: str | None) -> None:
    known = {revision.revision for revision in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise WrongDatabase(
            f"the database is at version {found}, which this program does not know (it knows up "
            f"to {_newest()}): install the newer facetally that upgraded it"
        )


def fingerprint(engine: Engine) -> str | None:
    """Return the fingerprint of the secret that this database was hashed under, if it has one."""
    with reading(engine) as connection:
        return _fingerprint(connection)


def check_secret(engine: Engine, ours: str) -> None:
    """Raise WrongDatabase if the database was hashed under another secret; mark a new one."""
    with engine.begin() as connection:
        found = _fingerprint(connection)
        if found is None:
            connection.execute(insert(schema.meta).values(name=_FINGERPRINT, value=ours))
        elif found != ours:
            raise WrongDatabase(
                "this database was hashed under another secret: with this one every person would "
                "be counted again; give back the secret it was made with (secret_file or "
                "FACETALLY_SECRET)"
            )


def _fingerprint(connection: Connection) -> str | None:
    query = select(schema.meta.c.value).where(schema.meta.c.name == _FINGERPRINT)
    found: str | None = connection.execute(query).scalar()
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _newest() -> str:
    head = _scripts().get_current_head()
    assert head is not None  # noqa: S101 - the migrations ship with the program
    return head
