"""The two ways of installing it, as the SRE's guide has them, in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.guide import SECTIONS, Machine, blocks, prepared
from tests.receiver import Answer, receiving

PSQL = 'echo "psql $*" >> "$MACHINE/typed"'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return prepared(Machine(tmp_path), psql=PSQL)


def test_the_machine_of_the_workers_is_ready_for_its_upgrade(machine: Machine) -> None:
    secrets, _ = blocks("Secrets")
    _, files, units = blocks("With systemd")
    copied = next(n for n, line in enumerate(units) if line.endswith("/usr/local/sbin/"))
    machine.follow([*secrets, *files, *units[: copied + 1]])
    machine.settle("/usr/local/sbin/facetally")
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
    secrets, _ = blocks("Secrets")
    machine.follow(secrets)
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
