"""The command that an administrator types on a host with the units, as it is installed there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sqlalchemy import URL, make_url

from tests.conftest import REPOSITORY
from tests.homes import SECRET

WRAPPER = REPOSITORY / "deploy" / "systemd" / "facetally"


def test_it_runs_the_program_with_the_settings_secret_and_password_of_the_units(
    tmp_path: Path, postgres_url: str
) -> None:
    """Two paths are put into a folder of the test's own; nothing else is another."""
    program, command = tmp_path / "program", tmp_path / "facetally"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deploy.cli.main "$@"\n')
    (tmp_path / "secret").write_text(SECRET)
    url = make_url(postgres_url)
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database)
    (tmp_path / "database-password").write_text(f"{url.password}\n")
    (tmp_path / "facetally.toml").write_text(f'database_url = "{bare}"\n')
    text = WRAPPER.read_text("utf-8").replace("/etc/facetally", str(tmp_path))
    command.write_text(text.replace("/opt/facetally/bin/facetally", str(program)))
    for file, mode in ((program, 0o755), (command, 0o755), (tmp_path / "secret", 0o600)):
        file.chmod(mode)
    for words in (["db", "upgrade"], ["duties", "--json"]):
        done = subprocess.run(
            [str(command), *words],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["duties"] == []
