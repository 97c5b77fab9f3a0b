"""facetally-backup: each dump under a name of its own, which only a whole one has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.guide import Machine, prepared, script

PROGRAM = "/usr/local/sbin/facetally-backup"
DUMPS = "/var/backups/facetally"
# What it is told to write, with what it was told; two runs are not within a second.
DUMPING = """
while [ "$1" != --file ]; do shift; done
echo "as $PGPASSWORD" > "$2"
sleep 1"""
FAILING = f"{DUMPING}\nexit 1"
AUDIT = '[ "$1 $2" = "audit checkpoint" ] && echo head >> "$3"'


def made(path: Path, dumping: str) -> Machine:
    machine = prepared(Machine(path), pg_dump=dumping)
    script(machine.place("/usr/local/sbin/facetally"), AUDIT)
    machine.place(PROGRAM).write_text((REPOSITORY / "deploy/systemd/facetally-backup").read_text())
    machine.place(PROGRAM).chmod(0o755)
    machine.settle(PROGRAM)
    machine.place("/etc/facetally").mkdir(parents=True)
    machine.place("/etc/facetally/owner-password").write_text("of the owner\n")
    return machine


def names(machine: Machine, folder: str) -> list[str]:
    return sorted(one.name for one in machine.place(folder).iterdir())


def test_each_dump_has_a_name_of_its_own_and_its_checkpoints_beside_those_of_all(
    tmp_path: Path,
) -> None:
    machine = made(tmp_path, DUMPING)
    first, second = (
        machine.follow(["facetally-backup"]).strip().splitlines()[-1] for _ in range(2)
    )
    kept = machine.place("/mnt/elsewhere")

    assert re.fullmatch(r"facetally-\d{8}T\d{6}Z", first)
    assert names(machine, DUMPS) == [f"{first}.dump", f"{second}.dump"]
    assert names(machine, "/mnt/elsewhere") == [
        "checkpoints",
        f"{first}.checkpoints",
        f"{second}.checkpoints",
    ]
    assert (kept / f"{first}.checkpoints").read_text() == "head\n"
    assert (kept / f"{second}.checkpoints").read_text() == "head\nhead\n"
    assert machine.place(f"{DUMPS}/{first}.dump").read_text() == "as of the owner\n"


def test_places_of_a_site_outlive_a_newer_release_of_the_program(tmp_path: Path) -> None:
    machine = made(tmp_path, 'echo "$2 $4" > "$MACHINE/asked"; ' + DUMPING)
    machine.place("/etc/facetally/places").write_text(
        f"DATABASE=10.0.0.5:6432\nDUMPS={tmp_path}/dumps\nELSEWHERE={tmp_path}/other\n"
    )
    machine.place("other").mkdir()
    name = machine.follow(["facetally-backup"]).strip().splitlines()[-1]

    assert (tmp_path / "asked").read_text() == "10.0.0.5 6432\n"
    assert names(machine, "dumps") == [f"{name}.dump"]
    assert names(machine, "other") == ["checkpoints", f"{name}.checkpoints"]


def test_whoever_has_no_password_of_the_owner_reads_no_dump(tmp_path: Path) -> None:
    machine = made(tmp_path, DUMPING)
    name = machine.follow(["facetally-backup"]).strip().splitlines()[-1]

    assert machine.mode(DUMPS) == 0o700
    assert machine.mode(f"{DUMPS}/{name}.dump") == 0o600


def test_a_dump_that_did_not_end_well_has_no_name_that_one_would_restore(tmp_path: Path) -> None:
    machine = made(tmp_path, FAILING)
    with pytest.raises(AssertionError, match="facetally-backup"):
        machine.follow(["facetally-backup"])

    assert [Path(one).suffix for one in names(machine, DUMPS)] == [".part"]
