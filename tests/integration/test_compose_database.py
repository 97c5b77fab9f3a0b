"""The scripts that the compose file mounts, run on a real PostgreSQL by real psql."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import psycopg
import pytest

from tests.conftest import REPOSITORY
from tests.homes import event, ready
from tests.services.presence import require

COMPOSE = REPOSITORY / "deploy" / "compose"
PASSWORD = 'it\'s a \\ "password" $HOME'  # what a shell or SQL could trip over


def run(script: str, secrets: Path, at: SplitResult, **names: str) -> None:
    """Run *script* with this test's secrets, server and names in place of the container's."""
    text = (COMPOSE / script).read_text("utf-8").replace("/run/secrets", str(secrets))
    text = text.replace("/sql/grants.sql", str(secrets / "grants.sql"))
    for old, new in names.items():
        text = text.replace(old, new)
    done = subprocess.run(
        ["sh", "-c", text],
        env={
            "PATH": os.environ["PATH"],
            "PGHOST": str(at.hostname),
            "PGPORT": str(at.port),
            "PGPASSWORD": str(at.password),
            "POSTGRES_USER": str(at.username),
            "POSTGRES_DB": at.path[1:],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_role_that_they_make_counts_and_cannot_touch_evidence(
    tmp_path: Path, postgres_url: str
) -> None:
    require(None if shutil.which("psql") else "no psql: Debian's package postgresql-client")
    owner = urlsplit(postgres_url)
    role = f"worker_{owner.path[1:]}"  # roles are common to all databases of a server
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "worker-password").write_text(PASSWORD + "\n")
    (secrets / "owner-password").write_text(str(owner.password) + "\n")
    grants = (REPOSITORY / "deploy" / "sql" / "grants.sql").read_text("utf-8")
    (secrets / "grants.sql").write_text(grants.replace("facetally_worker", role))

    run("roles.sh", secrets, owner, facetally_worker=role)
    home = ready(tmp_path / "home", database_url=postgres_url)
    here = {"--host postgres": f"--host {owner.hostname}"}
    run("grants.sh", secrets, owner, **here, **{"--dbname facetally": f"-d {owner.path[1:]}"})
    as_worker = {
        "FACETALLY_DATABASE_URL": f"postgresql+psycopg://{role}@{owner.netloc.split('@')[1]}"
        f"{owner.path}",
        "FACETALLY_DATABASE_PASSWORD_FILE": str(secrets / "worker-password"),
    }
    events = home.write("events.ndjson", [event("ann")])
    applied = home.run("apply", events, "--source", "cloudevents", env=as_worker)
    verified = home.run("verify", env=as_worker)

    assert (applied.code, verified.code) == (0, 0), applied.err + verified.err
    with (
        psycopg.connect(
            host=owner.hostname,
            port=owner.port,
            user=role,
            password=PASSWORD,
            dbname=owner.path[1:],
        ) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM audit")
