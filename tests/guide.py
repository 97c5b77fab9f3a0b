"""The SRE's guide typed line by line into a folder that stands for the machine.

Its own commands are real: ``install``, ``openssl``, ``cp``, the wrappers and facetally. What would
change this machine or needs systemd is told from outside: users and groups are remembered, and a
file cannot be given to a group that nobody has made yet.
"""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.homes import ROOT

GUIDE = (REPOSITORY / "docs" / "production.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE))
PLACES = (
    "/etc/facetally",
    "/etc/prometheus",
    "/etc/systemd/system",
    "/usr/local/sbin",
    "/opt/facetally",
    "/var/backups/facetally",
    "/mnt/elsewhere",
    "/mnt/vault",
)
PATIENCE = 120.0

# $MACHINE is the folder; groups are the lines of a file in it.
FAKES = {
    "getent": 'grep --quiet --line-regexp "$2" "$MACHINE/groups"',
    "groupadd": 'for last; do :; done; echo "$last" >> "$MACHINE/groups"',
    "useradd": 'for last; do :; done; echo "$last" >> "$MACHINE/groups"',
    "systemctl": 'echo "systemctl $*" >> "$MACHINE/typed"',
    # Debian's packages bring a user, and settings that tell nobody.
    "apt-get": """
echo prometheus >> "$MACHINE/groups"
mkdir --parents "$MACHINE/etc/prometheus"
echo 'route: {receiver: team-X-mails}' > "$MACHINE/etc/prometheus/alertmanager.yml\"""",
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
    """A folder with the places that the guide writes to, and the programs that it types.

    *swaps* are what else is another in the tests: ports, names that must be a test's own.
    """

    path: Path
    swaps: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        return self.path / name.lstrip("/")

    def moved(self, text: str) -> str:
        for place in PLACES:
            text = text.replace(place, str(self.place(place)))
        for old, new in self.swaps.items():
            text = text.replace(old, new)
        return text

    def settle(self, *names: str) -> None:
        """Have the files of these names, once they are copied, look into the folder too."""
        for name in names:
            file = self.place(name)
            file.write_text(self.moved(file.read_text("utf-8")))

    def env(self) -> dict[str, str]:
        path = f"{self.place('/usr/local/sbin')}:{self.path / 'fakes'}:/usr/bin:/bin"
        return {"PATH": path, "MACHINE": str(self.path), **self.environ}

    def follow(self, lines: Sequence[str], typed: str = "") -> str:
        """Type *lines*, and *typed* at what asks; the first that fails ends it.

        Returns what was printed. Without a terminal PostgreSQL's programs ask standard input.
        """
        done = subprocess.run(
            ["sh", "-eux", "-c", self.moved("\n".join(lines))],
            env=self.env(),
            cwd=REPOSITORY,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            start_new_session=True,
        )
        assert done.returncode == 0, f"{lines}: {done.stderr}{done.stdout}"
        return done.stdout + "\n".join(
            line for line in done.stderr.splitlines() if not line.startswith("+")
        )

    def mode(self, name: str) -> int:
        return stat.S_IMODE(self.place(name).stat().st_mode)


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\nset -eu\n{text}\n")
    file.chmod(0o755)


def prepared(machine: Machine, **fakes: str) -> Machine:
    """Return *machine* with its folders, the program, and *fakes* beside those of all."""
    for name in ("/etc/systemd/system", "/usr/local/sbin", "/mnt/elsewhere", "/mnt/vault"):
        machine.place(name).mkdir(parents=True)
    for name, text in {**FAKES, **fakes}.items():
        script(machine.path / "fakes" / name, text)
    (machine.path / "groups").touch()
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from deploy.cli.main import main; main()"
    )
    program = shlex.join([sys.executable, "-P", "-c", code])
    script(machine.place("/opt/facetally/bin/facetally"), f'exec {program} "$@"')
    return machine


def typed(*sections: str) -> list[str]:
    """Return the lines of *sections* in their order, without their prompts."""
    return [line for section in sections for block in blocks(section) for line in block]


def commands(line: str) -> list[str]:
    """Return the commands that *line* runs, one after the other or in the place of another."""
    return re.split(r" \|\| | && ", line.replace("|| (", "|| ").removesuffix(")"))


def started(lines: Sequence[str], unit: str) -> int:
    """Return where *unit* is started for the first time. Raises StopIteration if nowhere."""
    return next(
        place
        for place, line in enumerate(lines)
        if re.match(r"systemctl (start|enable --now) ", line) and unit in line
    )


def blocks(section: str) -> list[list[str]]:
    """Return the lines of each console block of *section*, without their prompts."""
    found = re.findall(r"^```console\n(.*?)^```", SECTIONS[section], re.DOTALL | re.MULTILINE)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in found]
