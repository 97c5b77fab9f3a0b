"""The SRE's guide in its order: what must be there before what, and what stays on a second time."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.guide import SECTIONS, commands, started, typed
from tests.services import alertmanager as alertmanagers
from tests.services.presence import require

HOST = "127.0.0.1"
INTO = f"psql --set ON_ERROR_STOP=1 --host {HOST} --username facetally --dbname facetally"
GRANTS = f"{INTO} --file deploy/sql/grants.sql"
ALERTING = "/etc/prometheus/alertmanager.yml"
CONFIGURATION = "deploy/alertmanager/alertmanager.yml"
CHECKED = f"deploy/alertmanager/refuse-examples.sh {ALERTING} amtool check-config {ALERTING}"
UNITS = REPOSITORY / "deploy" / "systemd"
LINES = typed(*SECTIONS)
# A guard names the file that it keeps: one that is there, and one that is there and not empty.
GUARD = re.compile(r"(?:test -[es]|grep --quiet \w+) (\S+) \|\| ")
PASTED = "/etc/prometheus/deadman-token"


@pytest.mark.parametrize(
    "sections",
    [("With systemd", "The first start"), ("Upgrade",)],
    ids=lambda sections: sections[0],
)
def test_rights_are_given_between_the_upgrade_and_the_first_worker(sections: list[str]) -> None:
    lines = typed(*sections)
    upgraded = started(lines, "facetally-db-upgrade.service")

    assert upgraded < lines.index(GRANTS) < started(lines, "facetally-worker@1.service")


def test_an_upgrade_has_prometheus_judge_by_the_rules_of_the_release_under_the_silence() -> None:
    lines = typed("Upgrade")
    (written,) = [n for n, line in enumerate(lines) if line.startswith("deploy/prometheus/")]

    assert lines[written] in typed("Prometheus and Alertmanager")
    assert lines[written + 1] == "systemctl reload prometheus.service"
    assert lines.index("facetally-silence 1h upgrade") < written
    assert written < started(lines, "facetally-alerts.service")


def test_an_upgrade_stops_the_workers_of_a_second_machine_as_well() -> None:
    words = SECTIONS["Upgrade"].partition("**A second machine of workers**")[2]
    order = ["stopped", "before the backup", "pip", "starts them again after"]
    places = [words.find(one) for one in order]

    assert -1 not in places
    assert places == sorted(places)


def test_nothing_that_tells_anybody_is_started_before_there_is_somebody_to_tell() -> None:
    """Debian's Alertmanager answers 200 by itself: a page would be delivered, and to nobody."""
    before = list(SECTIONS)[: list(SECTIONS).index("With compose")]
    lines = typed(*before)
    placed = next(place for place, line in enumerate(lines) if line.endswith(f" {ALERTING}"))
    heard = next(place for place, line in enumerate(lines) if line.startswith("amtool "))
    reloaded = lines.index("systemctl reload prometheus-alertmanager.service")
    alerts = started(lines, "facetally-alerts.service")

    assert f"|| install --mode 0640 --group prometheus {CONFIGURATION} " in lines[placed]
    assert placed < lines.index(CHECKED) < reloaded < heard < alerts
    assert started(lines, "facetally-worker@1.service") < alerts
    assert alerts < lines.index("facetally notify test")
    assert started(lines, "facetally-worker@2.service") > alerts


def test_an_alertmanager_that_was_edited_stays_so_when_the_guide_is_typed_again() -> None:
    (line,) = [one for one in LINES if one.endswith(f"{CONFIGURATION} {ALERTING}")]
    condition, _, _ = line.partition(" || ")
    words = shlex.split(condition)
    ours = (REPOSITORY / CONFIGURATION).read_text("utf-8")

    assert words[:2] == ["grep", "--quiet"]
    assert words[2] in ours
    assert words[3:] == [ALERTING]


def test_the_token_of_the_dead_man_is_put_where_alertmanager_reads_it() -> None:
    section = SECTIONS["The dead-man's receiver"]
    lines = typed("The dead-man's receiver")
    (named,) = re.findall(r"credentials_file: (\S+?)}", section)
    (put,) = [place for place, line in enumerate(lines) if line.endswith(f" {named}")]

    assert lines[put] == f"install --mode 0640 --group prometheus /dev/stdin {named}"
    assert lines[put - 1] == "cat /etc/facetally/deadman-token"
    assert lines[put + 1 :] == [CHECKED, "systemctl reload prometheus-alertmanager.service"]
    assert f"credentials_file: {named}" in (REPOSITORY / CONFIGURATION).read_text("utf-8")


def test_prometheus_has_the_label_before_anybody_listens_for_it() -> None:
    """Edited and not loaded, its watchdog has no name: the dead man would page for ever."""
    section = SECTIONS["The dead-man's receiver"]
    after = section[section.index("external_labels:\n") :]
    (loaded,) = re.findall(
        r"^```console\n\$ promtool check config (\S+)\n\$ systemctl reload prometheus.service\n```",
        after[: after.index("Alertmanager gets")],
        re.MULTILINE,
    )

    assert loaded == "/etc/prometheus/prometheus.yml"


def test_what_the_units_call_is_in_a_package_that_is_installed() -> None:
    """``openssl``, ``psql``, ``promtool`` and ``amtool`` are on no Debian by themselves."""
    line = typed("Packages")[-1]

    assert line.startswith("apt-get install --yes ")
    assert set(line.split()[3:]) == {
        "openssl",
        "postgresql-client",
        "prometheus",
        "prometheus-alertmanager",
        "python3-venv",
    }
    assert list(SECTIONS).index("Packages") < list(SECTIONS).index("Secrets")


def test_every_file_of_a_unit_is_made_for_root_alone_before_the_first_upgrade() -> None:
    units = "".join(unit.read_text("utf-8") for unit in UNITS.glob("*.*"))
    credentials = set(re.findall(r"^LoadCredential=[\w-]+:(\S+)$", units, re.MULTILINE))
    made = re.compile(r"test -s (\S+) \|\| \(umask 0377 && openssl rand -\w+ \d\d > \1\)")
    found = [made.fullmatch(line) for line in typed("Secrets")]

    assert {one[1] for one in found if one is not None} == credentials
    assert list(SECTIONS).index("Secrets") < list(SECTIONS).index("With systemd")


def test_a_password_is_made_before_it_is_shown_and_shown_before_it_is_asked_for() -> None:
    made, shown = typed("Secrets"), typed("Database and roles")
    for role, name in (("facetally", "owner"), ("facetally_worker", "database")):
        file = f"/etc/facetally/{name}-password"
        asked = shown.index(f"runuser --user postgres -- createuser --pwprompt {role}")

        assert shown[asked - 1] == f"cat {file}"
        assert any(line.endswith(f"openssl rand -base64 30 > {file})") for line in made)
    assert list(SECTIONS).index("Secrets") < list(SECTIONS).index("Database and roles")


def test_what_a_site_has_made_or_edited_stays_when_the_guide_is_typed_again() -> None:
    """A second secret would make other people of all that were counted."""
    made = [
        (line, command.split()[-1].removesuffix(")"))
        for line in LINES
        for command in commands(line)
        if re.match(r"(install (?!--directory)|openssl )", command)
    ]
    bare = [file for line, file in made if (kept := GUARD.match(line)) is None or kept[1] != file]

    assert len(made) >= 15
    assert bare == [PASTED]


def test_a_second_machine_is_given_the_secret_and_makes_none() -> None:
    lines = typed("Secrets")
    for name in ("secret", "database-password"):
        file = f"/etc/facetally/{name}"
        pasted = f"test -s {file} || install --mode 0400 /dev/stdin {file}"

        assert lines.index(f"cat {file}") < lines.index(pasted)


def test_the_secret_is_copied_away_and_compared_before_anything_is_counted() -> None:
    lines = typed(*SECTIONS)
    compared = lines.index("cmp /etc/facetally/secret /mnt/vault/facetally-secret")

    assert lines[compared - 1].endswith("/etc/facetally/secret /mnt/vault/facetally-secret")
    assert compared < started(lines, "facetally-worker@1.service")


@pytest.mark.parametrize("name", ["Upgrade", "Backup and restore"])
def test_a_backup_is_made_before_it_is_needed_and_one_overwrites_no_other(name: str) -> None:
    lines = typed(name)
    changed = next(
        place for place, line in enumerate(lines) if "db-upgrade" in line or "RENAME" in line
    )

    assert lines.index("facetally-backup") < changed
    assert [line for line in LINES if ".dump" in line and "NAME.dump" not in line] == []


def test_after_a_restore_nobody_is_told_before_a_person_has_looked() -> None:
    """The copy owes everything that was told since it was made."""
    lines = typed("Backup and restore")
    workers, alerts = started(lines, "facetally-worker@1"), started(lines, "facetally-alerts")
    looked = [lines.index(f"facetally {one} --json") for one in ("positions", "notices", "pages")]
    (known,) = [n for n, line in enumerate(lines) if line.startswith("facetally ack KEY ")]

    assert workers < min(looked) < max(looked) < known < alerts
    assert "facetally-alerts" not in lines[workers]


@pytest.mark.parametrize("name", ["production.md", "runbooks/database_restored.md"])
def test_a_restore_is_accepted_when_prometheus_has_seen_that_it_is_one(name: str) -> None:
    """Nothing else tells it from evidence that was removed (rules/numbers.yml)."""
    text = (REPOSITORY / "docs" / name).read_text("utf-8")

    assert re.search(r"[Aa]ccept[^.\n]* alerts has run for two minutes", text)
    assert "FacetallyAuditShrunk" in text


@pytest.mark.parametrize(
    ("name", "changed"), [("Upgrade", "db-upgrade"), ("Backup and restore", "RENAME")]
)
def test_no_session_is_left_in_a_database_that_is_changed(name: str, changed: str) -> None:
    lines = typed(name)
    begun = next(n for n, line in enumerate(lines) if changed in line)
    (stopped,) = [line for line in lines[:begun] if line.startswith("systemctl stop ")]
    running = {f"{unit.stem}1.service" if "@" in unit.stem else unit.name for unit in users()}

    assert running <= set(stopped.split()[2:])


def users() -> list[Path]:
    """Return the units that use the database, but for that which is started by hand and ends."""
    named = [unit for unit in UNITS.glob("*.service") if "upgrade" not in unit.name]
    return [one for one in named if "database-password:" in one.read_text("utf-8")]


def test_each_receiver_of_people_is_tried_before_facetally_tells_anybody() -> None:
    """By amtool's own word on the roads of the two alerts."""
    require(alertmanagers.available())
    tried = [line.split()[4:] for line in LINES if " alert add alertname=FacetallyTrial " in line]
    told = [
        subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={CONFIGURATION}", *labels],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for labels in tried
    ]

    assert told == ["other,page", "warnings"]
