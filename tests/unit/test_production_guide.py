"""The SRE's guide: every command in it is one, every file is there, every figure is measured."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.parsing import parsed

GUIDE = (REPOSITORY / "docs" / "production.md").read_text("utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
FOREIGN = {
    "chmod",
    "cp",
    "createdb",
    "createuser",
    "docker",
    "openssl",
    "pg_dump",
    "pg_restore",
    "psql",
    "systemctl",
    "useradd",
}
UNITS = {unit.name for unit in (REPOSITORY / "deploy" / "systemd").iterdir()}
SERVICES = yaml.safe_load((REPOSITORY / "deploy" / "compose" / "compose.yml").read_text("utf-8"))


def of(program: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in dict.fromkeys(COMMANDS) if line.split()[0] == program]


def test_every_line_of_an_example_is_a_command_that_is_looked_at_here() -> None:
    lines = [line for block in BLOCKS for line in block.splitlines()]

    assert [line for line in lines if not line.startswith("$ ")] == []
    assert {line.split()[0] for line in COMMANDS} == {"facetally", *FOREIGN}


@pytest.mark.parametrize("words", of("facetally"), ids=" ".join)
def test_facetally_takes_the_command(words: list[str]) -> None:
    assert parsed(words).command.name


@pytest.mark.parametrize("words", of("systemctl"), ids=" ".join)
def test_the_units_are_there(words: list[str]) -> None:
    named = {re.sub(r"@\d+", "@", word) for word in words if "." in word}

    assert named <= UNITS
    assert words[0] in {"daemon-reload", "enable", "start", "stop"}


@pytest.mark.parametrize("words", of("docker"), ids=" ".join)
def test_compose_is_asked_for_services_that_it_has(words: list[str]) -> None:
    command = words[3]
    rest = [word for word in words[4:] if not word.startswith("-")]

    assert words[:3] == ["compose", "--file", "deploy/compose/compose.yml"]
    assert command in {"up", "logs", "exec", "run"}
    assert (rest[0] if rest else None) in {*SERVICES["services"], None}
    if command == "exec":
        assert rest[1] == "/opt/facetally/bin/facetally"
        assert parsed(words[words.index(rest[1]) + 1 :]).command.name == "status"


def test_every_file_of_ours_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:deploy|tests|scripts|docs)/[\w@./-]+\w", GUIDE))
    linked = set(re.findall(r"\]\(([\w./-]+)\)", GUIDE))
    made = {f"deploy/compose/{one['file'][2:]}" for one in SERVICES["secrets"].values()}

    assert sorted(one for one in named - made if not (REPOSITORY / one).exists()) == []
    assert sorted(one for one in linked if not (REPOSITORY / "docs" / one).exists()) == []


def test_every_secret_of_the_compose_file_is_made_and_opened_for_its_reader() -> None:
    files = {f"deploy/compose/{one['file'][2:]}" for one in SERVICES["secrets"].values()}
    made = {words[-1] for words in of("openssl")}
    (opened,) = of("chmod")

    assert made == files
    assert set(opened[1:]) == files


def test_every_unit_is_installed() -> None:
    copied = {Path(word).name for words in of("cp") for word in words[:-1]}

    assert copied == UNITS


@pytest.mark.parametrize(
    "figure",
    ["12,741", "33.7", "17.8", "13,703", "20,190", "p50 19 ms, p99 142 ms"],
)
def test_a_figure_is_one_that_was_measured(figure: str) -> None:
    """``make bench`` writes that page anew: then the guide is to follow."""
    assert figure in GUIDE
    assert figure in (REPOSITORY / "docs" / "performance.md").read_text("utf-8")
