"""The units of deploy/systemd, judged by systemd's own tools and against what they name."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.parsing import parsed
from tests.services.presence import require

FOLDER = REPOSITORY / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.*"))
WRAPPER = FOLDER / "facetally"
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
DEADMAN = FOLDER / "facetally-deadman.service"
PROGRAM = "/opt/facetally/bin/facetally"
OURS = [unit for unit in SERVICES if f"ExecStart={PROGRAM}" in unit.read_text("utf-8")]
KEEPING = [unit for unit in OURS if unit != DEADMAN]  # a database, that is
# Ten is the worst, and nothing that does anything gets 0; what is asked for is 2.0.
MOST_EXPOSED = 20


class _Repeated(dict[str, Any]):
    """Keeps every value of a key that is there several times, one a line."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and key in self:
            value = [*self[key], *value]
        super().__setitem__(key, value)


def section(unit: Path, name: str) -> dict[str, list[str]]:
    parser = configparser.RawConfigParser(dict_type=_Repeated, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way
    parser.read(unit, "utf-8")
    return {key: value.splitlines() for key, value in parser.items(name)}


def environment(unit: Path) -> dict[str, str]:
    lines = section(unit, "Service").get("Environment", [])
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line))


def analyze(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environ},
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they would be installed, with a program that is here."""
    require(None if shutil.which("systemd-analyze") else "no systemd-analyze: Debian's systemd")
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text("utf-8").replace(PROGRAM, sys.executable)
        (folder / unit.name).write_text(text, "utf-8")
    return folder


def named(unit: Path) -> str:
    return unit.name.replace("@.", "@1.")


def verified(folder: Path, name: str) -> tuple[int, str]:
    done = analyze("verify", "--man=no", name, SYSTEMD_UNIT_PATH=f"{folder}:")
    return done.returncode, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit_without_a_word(installed: Path, unit: Path) -> None:
    assert verified(installed, named(unit)) == (0, "")


def test_systemd_would_say_what_it_does_not_know(installed: Path, tmp_path: Path) -> None:
    text = (installed / "facetally-alerts.service").read_text()
    (tmp_path / "facetally-alerts.service").write_text(text.replace("PrivateTmp", "PrivateTemp"))

    assert "Unknown key 'PrivateTemp'" in verified(tmp_path, "facetally-alerts.service")[1]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_hardened(installed: Path, unit: Path) -> None:
    done = analyze(
        "security",
        "--offline=true",
        "--no-pager",
        f"--threshold={MOST_EXPOSED}",
        str(installed / unit.name),
    )

    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


def test_a_service_that_is_not_hardened_would_be_found(installed: Path, tmp_path: Path) -> None:
    text = (installed / "facetally-alerts.service").read_text()
    open_to_all = "\n".join(
        line for line in text.splitlines() if not re.match(r"(Protect|Private|Restrict)", line)
    )
    (tmp_path / "facetally-alerts.service").write_text(open_to_all)
    done = analyze(
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSED}",
        str(tmp_path / "facetally-alerts.service"),
    )

    assert done.returncode != 0


@pytest.mark.parametrize("unit", OURS, ids=lambda unit: unit.name)
def test_the_command_is_one_that_facetally_has(unit: Path) -> None:
    (line,) = section(unit, "Service")["ExecStart"]
    program, *words = shlex.split(line)

    assert program == PROGRAM
    assert words[:2] == ["--config", "/etc/facetally/facetally.toml"]
    assert parsed(words).info_name == words[2] or words[2:] == ["db", "upgrade"]


@pytest.mark.parametrize("unit", KEEPING, ids=lambda unit: unit.name)
def test_variables_are_ones_that_the_settings_know_and_secrets_are_credentials(unit: Path) -> None:
    guide = (REPOSITORY / "docs" / "settings.md").read_text("utf-8")
    root = guide.partition("## The root")[2].partition("\n## ")[0]
    known = {
        f"FACETALLY_{key.upper()}" for key in re.findall(r"^\| `(\w+)` \|", root, re.MULTILINE)
    }
    variables = environment(unit)
    credentials = {line.split(":")[0] for line in section(unit, "Service")["LoadCredential"]}
    read = {value.removeprefix("%d/") for value in variables.values() if value.startswith("%d/")}

    assert {key for key in variables if key != "TMPDIR"} <= known
    assert credentials == read == {"secret", "database-password"}


def test_a_calendar_that_cannot_be_written_is_told() -> None:
    """Nothing else would say so: neither process nor metric is behind it."""
    (told_by,) = section(FOLDER / "facetally-ical.service", "Unit")["OnFailure"]

    assert (FOLDER / told_by.replace("%n", "")).is_file()


def test_who_serves_the_calendar_needs_no_group_that_reads_settings_or_secrets() -> None:
    service = section(FOLDER / "facetally-ical.service", "Service")

    assert service["Group"] == ["facetally-ical"]
    assert service["SupplementaryGroups"] == ["facetally"]  # for the settings
    assert service["StateDirectoryMode"] == ["0750"]
    assert service["UMask"] == ["0027"]


def test_an_upgrade_without_the_owners_address_does_not_start() -> None:
    service = section(FOLDER / "facetally-db-upgrade.service", "Service")

    assert service["EnvironmentFile"] == ["/etc/facetally/owner.env"]


def test_the_dead_mans_receiver_is_given_nothing_of_the_database() -> None:
    service, unit = section(DEADMAN, "Service"), section(DEADMAN, "Unit")

    assert environment(DEADMAN) == {}
    assert "LoadCredential" not in service
    assert "postgresql" not in unit["After"][0]


@pytest.mark.parametrize(
    "name",
    ["facetally-worker@.service", "facetally-alerts.service", "facetally-deadman.service"],
)
def test_what_runs_for_ever_is_watched_and_comes_back(name: str) -> None:
    service = section(REPOSITORY / "deploy" / "systemd" / name, "Service")
    unit = section(REPOSITORY / "deploy" / "systemd" / name, "Unit")

    assert service["Type"] == ["notify"]
    assert int(service["WatchdogSec"][0]) >= 180  # longer than any attempt of a loop may take
    assert service["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert int(service["TimeoutStopSec"][0]) > 40  # what `facetally up` gives them
    assert "network-online.target" in unit["After"][0]


def test_each_worker_has_a_name_a_port_and_a_folder_of_its_own() -> None:
    worker = REPOSITORY / "deploy" / "systemd" / "facetally-worker@.service"
    variables = environment(worker)

    assert "%i" in variables["FACETALLY_INSTANCE_ID"]
    assert "%i" in variables["FACETALLY_METRICS_ADDRESS"]
    assert variables["TMPDIR"] == f"%C/{section(worker, 'Service')['CacheDirectory'][0]}"
    assert "%i" in variables["TMPDIR"]


@pytest.mark.parametrize("number", [0, 1, 10, 255])
def test_whatever_its_number_a_worker_can_serve_its_metrics_beside_alerts(number: int) -> None:
    """By binding it, on a free port: what the units have may be taken here."""
    worker = environment(FOLDER / "facetally-worker@.service")["FACETALLY_METRICS_ADDRESS"]
    alerts = environment(FOLDER / "facetally-alerts.service")["FACETALLY_METRICS_ADDRESS"]
    address = worker.replace("%i", str(number))
    host, _, port = address.partition(":")
    with socket.socket() as taken:
        taken.bind((host, 0))
        bound = taken.getsockname()[0]

    assert bound == host
    assert 1024 < int(port) < 65536
    assert address != alerts


def test_the_command_of_an_administrator_reads_what_the_units_are_given() -> None:
    given = section(FOLDER / "facetally-alerts.service", "Service")["LoadCredential"]
    read = re.findall(r"_FILE=(\S+)", WRAPPER.read_text("utf-8"))

    assert sorted(read) == sorted(line.split(":")[1] for line in given)
    assert os.access(WRAPPER, os.X_OK)


@pytest.mark.parametrize("name", ["facetally", "facetally-drill"])
def test_the_commands_of_an_administrator_look_back_on_a_disk(name: str) -> None:
    """Debian's /tmp may be memory; a verify of ten million people would fill it."""
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    (run,) = [place for place, line in enumerate(lines) if line.startswith("exec ")]

    assert lines.index("export TMPDIR=/var/tmp") < run
