"""The two ways of installing it, as the SRE's guide has them, in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.guide import SECTIONS, Machine, blocks, prepared
from tests.receiver import Answer, receiving
from tests.services import alertmanager as alertmanagers
from tests.services.presence import require

KEPT = ("secret", "owner-password", "database-password", "owner.env", "facetally.toml")
PSQL = 'echo "psql $*" >> "$MACHINE/typed"'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return prepared(Machine(tmp_path), psql=PSQL)


def settled(machine: Machine) -> str:
    """Follow the guide to the rights of the workers; return what was said on the way."""
    secrets, *_ = blocks("Secrets")
    _, files, units = blocks("With systemd")
    copied = next(n for n, line in enumerate(units) if line.endswith("/usr/local/sbin/"))
    machine.follow([*secrets, *files, *units[: copied + 1]])
    machine.settle("/usr/local/sbin/facetally")
    return machine.follow(units[copied + 1 :])


def test_the_machine_of_the_workers_is_ready_for_its_upgrade(machine: Machine) -> None:
    said = settled(machine)

    assert "facetally.toml: good" in said
    assert "  channel log\n" in said
    assert "alertmanager" not in said
    assert "warning: no [[channels]] reaches anybody" in said
    assert {name: machine.mode(f"/etc/facetally/{name}") for name in ("secret", "owner.env")} == {
        "secret": 0o400,
        "owner.env": 0o600,
    }
    typed = (machine.path / "typed").read_text().splitlines()
    upgraded = typed.index("systemctl start facetally-db-upgrade.service")
    assert typed[upgraded + 1].startswith("psql ")
    assert typed[upgraded + 2 :] == []


def test_what_is_marked_in_the_settings_holds_once_its_marks_are_away(machine: Machine) -> None:
    settled(machine)
    unmarked, checked = blocks("The first start")[-1][:2]
    said = machine.follow([unmarked, checked])
    again = machine.follow([unmarked, checked])

    assert "  channel alertmanager\n" in said
    assert "warning" not in said
    assert again == said


def test_what_was_made_and_edited_is_there_still_when_the_guide_is_typed_again(
    machine: Machine,
) -> None:
    settled(machine)
    secrets, away, *_ = blocks("Secrets")
    _, files, _ = blocks("With systemd")
    machine.follow(away)
    kept = [machine.place(f"/etc/facetally/{name}") for name in KEPT]
    kept[-1].write_text(f"# mine\n{kept[-1].read_text()}")
    before = [file.read_bytes() for file in kept]
    machine.follow([*secrets, *away, *files])

    assert [file.read_bytes() for file in kept] == before
    assert machine.place("/mnt/vault/facetally-secret").read_bytes() == before[0]


def test_a_second_machine_has_the_secret_of_the_first(machine: Machine, tmp_path: Path) -> None:
    second = prepared(Machine(tmp_path / "second"))
    secrets, _, shown, pasted, _ = blocks("Secrets")
    machine.follow(secrets)
    second.follow(secrets[:3])
    for show, paste in zip(shown, pasted, strict=True):
        second.follow([paste], machine.follow([show]))
        second.follow([paste], "another\n")
    for name in ("secret", "database-password"):
        first = machine.place(f"/etc/facetally/{name}").read_text()

        assert second.place(f"/etc/facetally/{name}").read_text() == first
        assert second.mode(f"/etc/facetally/{name}") == 0o400


def test_settings_of_the_dead_man_stay_when_the_guide_is_typed_again(machine: Machine) -> None:
    files, *_ = blocks("The dead-man's receiver")
    machine.follow(files)
    settings = machine.place("/etc/facetally/facetally.toml")
    settings.write_text("[deadman]\n")
    token = machine.place("/etc/facetally/deadman-token").read_text()
    machine.follow(files)

    assert settings.read_text() == "[deadman]\n"
    assert token
    assert machine.place("/etc/facetally/deadman-token").read_text() == token


def test_alertmanager_goes_on_only_with_receivers_of_ones_own_and_keeps_them(
    machine: Machine,
) -> None:
    require(alertmanagers.available())
    machine.follow(["apt-get install --yes prometheus"])
    (put,), (checked, *_) = blocks("Prometheus and Alertmanager")[2:]
    machine.follow([put])
    with pytest.raises(AssertionError, match="put your own receivers in the place of these"):
        machine.follow([checked])
    file = machine.place("/etc/prometheus/alertmanager.yml")
    file.write_text(file.read_text().replace(".example/", ".corp/"))
    mine = file.read_text()
    said = machine.follow([put, checked])

    assert "SUCCESS" in said
    assert file.read_text() == mine
    assert machine.mode("/etc/prometheus/alertmanager.yml") == 0o640


def test_the_token_that_is_pasted_is_the_one_that_was_shown(machine: Machine) -> None:
    machine.follow(["apt-get install --yes prometheus"])
    (show,), (put,), _ = blocks("The dead-man's receiver")[3:]
    token = machine.place("/etc/facetally/deadman-token")
    token.parent.mkdir(parents=True)
    token.write_text("bm90IGEgc2VjcmV0\n")
    machine.follow([put], machine.follow([show]))

    assert machine.place("/etc/prometheus/deadman-token").read_text() == token.read_text()


def test_every_user_and_group_of_the_units_is_made(machine: Machine) -> None:
    secrets, *_ = blocks("Secrets")
    machine.follow(secrets)
    units = (REPOSITORY / "deploy" / "systemd").glob("*.service")
    said = "".join(unit.read_text("utf-8") for unit in units)
    wanted = set(re.findall(r"^(?:User|Group|SupplementaryGroups)=(.+)$", said, re.MULTILINE))

    assert wanted == set((machine.path / "groups").read_text().split())


def test_the_machine_of_the_dead_man_pages_once_and_speaks_of_no_database(
    machine: Machine,
) -> None:
    files, tried, *_ = blocks("The dead-man's receiver")
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
