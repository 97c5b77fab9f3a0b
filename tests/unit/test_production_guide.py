"""The SRE's guide: every command in it is one, every file is there, every figure is measured."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from deploy.settings import load
from tests.conftest import REPOSITORY
from tests.guide import GUIDE, SECTIONS, commands
from tests.parsing import parsed
from tests.services.prometheus import Promtool

BLOCKS = re.findall(r"^```console\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
LINES = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
COMMANDS = [command for line in LINES for command in commands(line)]
FOREIGN = {
    "amtool",
    "apt-get",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "docker",
    "echo",
    "getent",
    "grep",
    "groupadd",
    "install",
    "openssl",
    "pg_restore",
    "promtool",
    "psql",
    "python3",
    "runuser",
    "sed",
    "systemctl",
    "test",
    "umask",
    "useradd",
}
UNITS = {unit.name for unit in (REPOSITORY / "deploy" / "systemd").glob("*.*")}
DEBIANS = {"prometheus.service", "prometheus-alertmanager.service"}
YAML = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
HOST = "127.0.0.1"
RULES = REPOSITORY / "deploy" / "prometheus" / "rules"
STOPPING = "--set ON_ERROR_STOP=1"
RUNBOOKS = "deploy/prometheus/with-runbooks.sh"
REFUSING = "deploy/alertmanager/refuse-examples.sh"
PIP = "/opt/facetally/bin/pip"
PROGRAM = "/opt/facetally/bin/facetally"
SERVICES = yaml.safe_load((REPOSITORY / "deploy" / "compose" / "compose.yml").read_text("utf-8"))


def of(program: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in dict.fromkeys(COMMANDS) if line.split()[0] == program]


OURS = dict.fromkeys(
    tuple(words) for program in ("facetally", "facetally-drill", PROGRAM) for words in of(program)
)


def test_every_line_of_an_example_is_a_command_that_is_looked_at_here() -> None:
    lines = [line for block in BLOCKS for line in block.splitlines()]

    assert [line for line in lines if not line.startswith("$ ")] == []
    assert {line.split()[0] for line in COMMANDS} == {
        "facetally",
        "facetally-backup",
        "facetally-drill",
        "facetally-silence",
        PIP,
        PROGRAM,
        REFUSING,
        RUNBOOKS,
        *FOREIGN,
    }


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_facetally_takes_the_command(words: Sequence[str]) -> None:
    now = {"$(date --utc +%Y-%m-%dT%H:%M:%SZ)": "2026-11-23T08:00:00Z"}

    assert parsed([now.get(word, word) for word in words]).command.name


@pytest.mark.parametrize("words", of("systemctl"), ids=" ".join)
def test_the_units_are_there(words: list[str]) -> None:
    named = {re.sub(r"@\d+", "@", word) for word in words if "." in word}

    assert named <= UNITS | DEBIANS
    assert words[0] in {"daemon-reload", "enable", "reload", "restart", "start", "stop"}


@pytest.mark.parametrize("words", of("docker"), ids=" ".join)
def test_compose_is_asked_for_services_that_it_has(words: list[str]) -> None:
    command = words[3]
    rest = [word for word in words[4:] if not word.startswith("-")]

    assert words[:3] == ["compose", "--file", "deploy/compose/compose.yml"]
    assert command in {"up", "logs", "exec", "run"}
    assert (rest[0] if rest else None) in {*SERVICES["services"], None}
    if command == "exec":
        assert rest[1] == PROGRAM
        assert parsed(words[words.index(rest[1]) + 1 :]).command.name == "status"


def test_every_file_of_ours_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:deploy|tests|scripts|docs)/[\w@./-]+\w", GUIDE))
    linked = set(re.findall(r"\]\(([\w./-]+)\)", GUIDE))
    made = {f"deploy/compose/{one['file'][2:]}" for one in SERVICES["secrets"].values()}

    assert sorted(one for one in named - made if not (REPOSITORY / one).exists()) == []
    assert sorted(one for one in linked if not (REPOSITORY / "docs" / one).exists()) == []


def test_every_secret_of_the_compose_file_is_made_and_opened_for_its_reader() -> None:
    files = {f"deploy/compose/{one['file'][2:]}" for one in SERVICES["secrets"].values()}
    made = {words[-1] for words in (*of("openssl"), *of("install"))}
    (opened,) = of("chmod")

    assert files <= made
    assert set(opened[1:]) == files


def test_every_unit_is_installed() -> None:
    copied = {
        Path(word).name for words in of("cp") for word in words[:-1] if word.startswith("deploy/")
    }

    assert copied == UNITS | {
        "facetally",
        "facetally-backup",
        "facetally-drill",
        "facetally-silence",
    }


@pytest.mark.parametrize("program", ["psql", "pg_restore"])
def test_root_comes_into_the_database_by_tcp_as_its_owner(program: str) -> None:
    """Without a host Debian asks the system who one is, and root is no role."""
    for words in of(program):
        rest = words[2:] if program == "psql" else words
        assert rest[:4] == ["--host", HOST, "--username", "facetally"]


def test_roles_and_databases_are_made_by_the_user_of_the_database() -> None:
    made = of("runuser")

    assert {words[3] for words in made} == {"createuser", "createdb", "dropdb", "psql"}
    assert all(words[:3] == ["--user", "postgres", "--"] for words in made)


def test_the_settings_of_the_units_come_in_as_the_worker_and_those_of_the_upgrade_as_owner() -> (
    None
):
    examples = REPOSITORY / "deploy" / "examples" / "systemd"
    (owner,) = re.findall(
        r"^FACETALLY_DATABASE_URL=(\S+)$", (examples / "owner.env").read_text("utf-8"), re.MULTILINE
    )
    worker = load(str(examples / "facetally.toml"), {})
    upgrade = load(str(examples / "facetally.toml"), {"FACETALLY_DATABASE_URL": owner})
    at = f"{HOST}:5432/facetally"

    assert worker.database_url == f"postgresql+psycopg://facetally_worker@{at}"
    assert upgrade.database_url == f"postgresql+psycopg://facetally@{at}"


def test_the_dead_man_waits_for_the_label_that_prometheus_gives_to_its_watchdog() -> None:
    section = SECTIONS["The dead-man's receiver"]
    (settings,) = re.findall(r"^```toml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    blocks = YAML.findall(section)
    labels = [
        found["global"]["external_labels"]
        for found in map(yaml.safe_load, blocks)
        if "global" in found
    ]

    assert tomllib.loads(settings)["deadman"]["installations"] == [labels[0]["installation"]]


def test_whatever_psql_reads_from_a_file_ends_where_it_fails() -> None:
    """By itself psql goes on after an error, and exits 0: half of the rights, and nobody told."""
    files = [
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("deploy/**/*"),
        *REPOSITORY.glob("*.md"),
    ]
    texts = (file.read_text("utf-8") for file in files if file.is_file() and file.suffix != ".pyc")
    lines = [
        line
        for text in texts
        for line in text.replace("\\\n", " ").splitlines()
        if re.search(r"\bpsql\b.* (--file|-f|<<)", line)
    ]

    assert len(lines) >= 6
    assert [line for line in lines if STOPPING not in line] == []


def test_no_rights_are_given_before_there_are_tables() -> None:
    assert "grants.sql\n```" not in SECTIONS["Database and roles"]


def test_the_jobs_of_prometheus_are_those_of_the_rules_and_addresses_those_of_the_units() -> None:
    (block,) = re.findall(
        r"^```yaml\n(.*?)^```", SECTIONS["Prometheus and Alertmanager"], re.DOTALL | re.MULTILINE
    )
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in yaml.safe_load(block)["scrape_configs"]
    }
    units = REPOSITORY / "deploy" / "systemd"
    address = r"FACETALLY_METRICS_ADDRESS=(\S+)"
    worker = re.findall(address, (units / "facetally-worker@.service").read_text("utf-8"))[0]
    alerts = re.findall(address, (units / "facetally-alerts.service").read_text("utf-8"))[0]
    compose = REPOSITORY / "deploy" / "compose" / "prometheus.yml"
    shipped = yaml.safe_load(compose.read_text("utf-8"))["scrape_configs"]

    assert jobs["facetally-worker"] == [worker.replace("%i", one) for one in ("1", "2")]
    assert jobs["facetally-alerts"] == [alerts]
    assert set(jobs) == {job["job_name"] for job in shipped}


def test_prometheus_takes_the_whole_of_what_it_is_given(tmp_path: Path, promtool: Promtool) -> None:
    """The blocks of the guide as one file, and the rules where its command writes them."""
    found = [yaml.safe_load(block) for block in YAML.findall(GUIDE)]
    settings = [block for block in found if isinstance(block, dict)]
    # A key that comes again is shown whole: it takes the place of what it was.
    whole = yaml.safe_dump({key: block[key] for block in settings for key in block})
    (line,) = {line for line in COMMANDS if line.startswith(RUNBOOKS)}
    base, folder = line.split()[1:]
    file, rules = tmp_path / "prometheus.yml", tmp_path / "rules"
    file.write_text(whole.replace(folder, str(rules)), "utf-8")
    moved = line.replace(folder, str(rules))
    subprocess.run(moved.split(), check=True, cwd=REPOSITORY, timeout=60)
    read = yaml.safe_load(file.read_text("utf-8"))
    (pattern,) = read["rule_files"]
    written = sorted(Path(pattern).parent.glob(Path(pattern).name))
    books = re.findall(r"runbook_url: (\S+)", "".join(one.read_text("utf-8") for one in written))

    assert promtool.check_config(file) == ""
    assert {one.name for one in written} == {one.name for one in RULES.glob("*.yml")}
    assert [book for book in books if not book.startswith(f"{base}/")] == []
    assert books
    assert set(read) == {"global", "rule_files", "alerting", "scrape_configs"}
    assert settings[0]["global"].items() < read["global"].items()


def test_alerts_go_to_the_alertmanager_that_is_scraped() -> None:
    (block,) = re.findall(
        r"^```yaml\n(.*?)^```", SECTIONS["Prometheus and Alertmanager"], re.DOTALL | re.MULTILINE
    )
    read = yaml.safe_load(block)
    scraped = {job["job_name"]: job["static_configs"] for job in read["scrape_configs"]}

    assert read["alerting"]["alertmanagers"][0]["static_configs"] == scraped["alertmanager"]


@pytest.mark.parametrize(
    "figure",
    ["12,741", "33.7", "17.8", "13,703", "20,190", "p50 19 ms, p99 142 ms"],
)
def test_a_figure_is_one_that_was_measured(figure: str) -> None:
    """``make bench`` writes that page anew: then the guide is to follow."""
    assert figure in GUIDE
    assert figure in (REPOSITORY / "docs" / "performance.md").read_text("utf-8")
