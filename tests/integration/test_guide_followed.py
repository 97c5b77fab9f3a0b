"""The SRE's guide typed line by line, in its order, into a folder that stands for the machine.

Its own commands are real: ``install``, ``openssl``, ``cp``, the wrapper and facetally. What would
change this machine or needs systemd is told from outside: users and groups are remembered, and a
file cannot be given to a group that nobody has made yet.
"""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.homes import ROOT
from tests.receiver import Answer, receiving

GUIDE = (REPOSITORY / "docs" / "production.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE))
PLACES = ("/etc/facetally", "/etc/systemd/system", "/usr/local/sbin", "/opt/facetally")
PATIENCE = 120.0

# $MACHINE is the folder; groups are the lines of a file in it.
FAKES = {
    "groupadd": 'for last; do :; done; echo "$last" >> "$MACHINE/groups"',
    "useradd": 'for last; do :; done; echo "$last" >> "$MACHINE/groups"',
    "systemctl": 'echo "systemctl $*" >> "$MACHINE/typed"',
    "psql": 'echo "psql $*" >> "$MACHINE/typed"',
    "install": """
kept= group=
for word; do
    if [ "$group" = next ]; then
        grep --quiet --line-regexp "$word" "$MACHINE/groups" ||
            { echo "install: invalid group '$word'" >&2; exit 1; }
        group=
    elif [ "$word" = --group ]; then group=next
    else kept="$kept $word"
    fi
done
exec /usr/bin/install $kept""",
}


@dataclass(frozen=True)
class Machine:
    """A folder with the places that the guide writes to, and the programs that it types."""

    path: Path

    def place(self, name: str) -> Path:
        return self.path / name.lstrip("/")

    def moved(self, text: str) -> str:
        for place in PLACES:
            text = text.replace(place, str(self.place(place)))
        return text

    def follow(self, lines: list[str]) -> str:
        """Type *lines*; the first that fails ends it. Returns what was printed."""
        path = f"{self.place('/usr/local/sbin')}:{self.path / 'fakes'}:/usr/bin:/bin"
        done = subprocess.run(
            ["sh", "-eux", "-c", self.moved("\n".join(lines))],
            env={"PATH": path, "MACHINE": str(self.path)},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + "\n".join(
            line for line in done.stderr.splitlines() if not line.startswith("+")
        )

    def mode(self, name: str) -> int:
        return stat.S_IMODE(self.place(name).stat().st_mode)


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\nset -eu\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for name in ("/etc/systemd/system", "/usr/local/sbin"):
        made.place(name).mkdir(parents=True)
    for name, text in FAKES.items():
        script(tmp_path / "fakes" / name, text)
    (tmp_path / "groups").touch()
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from deploy.cli.main import main; main()"
    )
    program = shlex.join([sys.executable, "-P", "-c", code])
    script(made.place("/opt/facetally/bin/facetally"), f'exec {program} "$@"')
    return made


def blocks(section: str) -> list[list[str]]:
    found = re.findall(r"^```console\n(.*?)^```", SECTIONS[section], re.DOTALL | re.MULTILINE)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in found]


def command_of_root(machine: Machine) -> None:
    """Have the wrapper, once it is copied, look into the folder too."""
    wrapper = machine.place("/usr/local/sbin/facetally")
    wrapper.write_text(machine.moved(wrapper.read_text("utf-8")))


def test_the_machine_of_the_workers_is_ready_for_its_upgrade(machine: Machine) -> None:
    files, units = blocks("With systemd")
    copied = next(n for n, line in enumerate(units) if line.endswith("/usr/local/sbin/facetally"))
    machine.follow([*files, *units[: copied + 1]])
    command_of_root(machine)
    said = machine.follow(units[copied + 1 :])

    assert "facetally.toml: good" in said
    assert "channel alertmanager" in said
    assert "warning" not in said
    assert {name: machine.mode(f"/etc/facetally/{name}") for name in ("secret", "owner.env")} == {
        "secret": 0o400,
        "owner.env": 0o600,
    }
    typed = (machine.path / "typed").read_text().splitlines()
    upgraded = typed.index("systemctl start facetally-db-upgrade.service")
    assert typed[upgraded + 1].startswith("psql ")
    assert typed[upgraded + 2].startswith("systemctl enable --now ")


def test_every_user_and_group_of_the_units_is_made(machine: Machine) -> None:
    files, _ = blocks("With systemd")
    machine.follow(files)
    units = (REPOSITORY / "deploy" / "systemd").glob("*.service")
    said = "".join(unit.read_text("utf-8") for unit in units)
    wanted = set(re.findall(r"^(?:User|Group|SupplementaryGroups)=(.+)$", said, re.MULTILINE))

    assert wanted == set((machine.path / "groups").read_text().split())


def test_the_machine_of_the_dead_man_pages_once_and_speaks_of_no_database(
    machine: Machine,
) -> None:
    files, tried = blocks("The dead-man's receiver")
    machine.follow(files)
    (settings,) = re.findall(
        r"^```toml\n(.*?)^```", SECTIONS["The dead-man's receiver"], re.DOTALL | re.MULTILINE
    )
    file = machine.place("/etc/facetally/facetally.toml")
    file.write_text(machine.moved(settings) + "allow_private = true\n")  # the receiver is here
    with receiving(Answer(200)) as receiver:
        address = receiver.url.replace("http://", "json://")
        machine.place("/etc/facetally/pager-url").write_text(f"{address}\n")
        said = machine.follow(tried)

    assert len(receiver.requests) == 1
    assert ("  deadman 10.0.0.7:9466, with a token: hears harbour, pages by pager\n") in said
    assert "pager: " in said
    assert "FAILED" not in said
    assert "database" not in said
    assert "db upgrade" not in said
    assert (
        "systemctl enable --now facetally-deadman.service" in (machine.path / "typed").read_text()
    )
