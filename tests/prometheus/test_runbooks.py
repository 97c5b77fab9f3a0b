"""Runbooks: one for each page, and what they tell people to type is tried."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import yaml

from alerts.origin import NEVER_PAGES
from monitor import measures
from monitor.notices import Kind
from tests.conftest import REPOSITORY
from tests.homes import Home, event, ready, topic
from tests.parsing import parsed
from tests.prometheus.shipped import (
    OF_PROCESSES,
    OF_THE_LAST_MILE,
    RULES,
    RUNBOOKS,
    alerts,
    named_in,
    recorded,
    snake,
)
from tests.services.prometheus import Promtool

BOOKS: Final = sorted(set(RUNBOOKS.glob("*.md")) - {RUNBOOKS / "README.md"})
HEADINGS: Final = (
    "## What it means",
    "## What is at stake",
    "## Look",
    "## Do",
    "## Escalate",
)
READING: Final = {
    "audit tail",
    "audit verify",
    "calendar check",
    "calendar show",
    "config check",
    "duties",
    "explain",
    "filing list",
    "filing show",
    "notices",
    "positions",
    "rejects list",
    "silence list",
    "status",
    "verify",
}
# What changes something and is possible where a duty is open, whatever brought the page on.
CHANGING: Final = (
    "ack acme/frt.file",
    "apply",
    "duty annul acme --rule frt.file",
    "duty correct",
    "filing pack",
    "filing submitted",
)
ROUTES: Final = REPOSITORY / "deploy" / "alertmanager" / "alertmanager.yml"
RULE: Final = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def stem(book: Path) -> str:
    return book.stem


def fenced(kind: str) -> dict[str, list[str]]:
    """Return the lines of each block of *kind*, and by which books they are said."""
    found: dict[str, list[str]] = {}
    for book in BOOKS:
        for named, text in FENCE.findall(book.read_text(encoding="utf-8")):
            if named == kind:
                for line in text.splitlines():
                    found.setdefault(line, []).append(book.stem)
    return found


COMMANDS: Final = sorted(line.removeprefix("$ ") for line in fenced("console"))
PSQL: Final = sorted(
    line for kind in ("sh", "console") for line in fenced(kind) if re.search(r"\bpsql\b", line)
)
QUERIES: Final = sorted(fenced("promql"))


def words_of(command: str) -> list[str]:
    first, *rest = shlex.split(command)
    assert first == "facetally"
    return rest


def tried(command: str) -> bool:
    """Whether it only reads; a calendar that is not published yet cannot be read."""
    return begins(command, READING) and "2027.toml" not in command


def begins(command: str, words: Iterable[str]) -> bool:
    return any(f"{command} ".startswith(f"facetally {one} ") for one in words)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A real database with a duty, a reject, a filed step, a calendar file and a checkpoint."""
    home = ready(tmp_path_factory.mktemp("home"), RULE, topic("face-events"))
    facts = [event(who, time="2026-03-02T01:00:00Z") for who in ("ann", "bob")]
    file = home.write("events.ndjson", [*facts, event("eve", kind="face.nonsense")])
    home.good("apply", file, "--source", "cloudevents")
    home.good("audit", "checkpoint", home.path / "kept-elsewhere")
    return home


@pytest.mark.parametrize("command", [one for one in COMMANDS if tried(one)])
def test_commands_that_read_answer_as_the_runbooks_say(
    command: str, store: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.path)

    assert store.run(*words_of(command)).code == 0


@pytest.mark.parametrize("command", [one for one in COMMANDS if begins(one, CHANGING)])
def test_commands_that_change_something_do_what_the_runbooks_say(
    command: str, store: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each on a copy of its own: a day that lies ahead would be refused."""
    copy = Home(Path(shutil.copytree(store.path, tmp_path / "copy")))
    monkeypatch.chdir(copy.path)

    answer = copy.run(*words_of(command))

    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_parsed_by_the_real_parser(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would change something is not run; a renamed option breaks this."""
    for name in ("2026.toml", "2027.toml", "events.ndjson", "kept-elsewhere"):
        (tmp_path / name).touch()  # some arguments must exist
    monkeypatch.chdir(tmp_path)

    assert parsed(words_of(command)).params


@pytest.mark.parametrize("line", PSQL)
def test_root_asks_the_database_as_its_user_and_names_it(line: str, postgres_url: str) -> None:
    """Root is no role, and the database of that name is not there either."""
    *way, sql = shlex.split(line)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        answer = connection.execute(sql.encode()).fetchall()

    assert shlex.join(way) == "runuser --user postgres -- psql --dbname facetally --command"
    assert len(answer) == 1


def test_no_other_line_of_a_runbook_asks_the_database() -> None:
    said = [line for book in BOOKS for line in book.read_text(encoding="utf-8").splitlines()]

    assert sorted({line for line in said if re.search(r"\bpsql\b", line)}) == PSQL
    assert PSQL


def test_the_runbook_of_the_ledger_names_what_stays_silent_meanwhile() -> None:
    routes = yaml.safe_load(ROUTES.read_text("utf-8"))["inhibit_rules"]
    source = ['alertname="FacetallyLedgerUnreadable"']
    silent = {
        name
        for rule in routes
        if rule["source_matchers"] == source
        for name in re.findall(r"Facetally\w+", "".join(rule["target_matchers"]))
    }
    text = (RUNBOOKS / "ledger_unreadable.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(Facetally\w+)`", text))

    assert silent
    assert silent <= named
    assert named <= silent | {"FacetallyWorkerStuck"}


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_reads_metrics_that_exist(query: str) -> None:
    known = {spec.name for spec in measures.catalogue()} | set(recorded())
    known |= OF_PROCESSES | OF_THE_LAST_MILE | {"up"}
    read = {re.sub(r"_bucket$", "", name) for name in named_in(query)}

    assert read <= known
    assert read or "ALERTS" in query


def test_prometheus_understands_every_query(tmp_path: Path, promtool: Promtool) -> None:
    rules = [{"record": f"tried:{number}", "expr": one} for number, one in enumerate(QUERIES)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "tried", "rules": rules}]}))

    assert promtool.check_rules(file) == ""


@pytest.mark.parametrize("kind", sorted(set(Kind) - NEVER_PAGES))
def test_each_notice_that_pages_has_a_runbook(kind: Kind) -> None:
    text = (RUNBOOKS / f"{kind.value}.md").read_text(encoding="utf-8")

    assert text.startswith(f"# Notice {kind.value}\n")


def test_there_is_no_runbook_of_what_never_pages() -> None:
    pages = {snake(one.name) for one in alerts(*RULES) if one.severity in {"page", "none"}}
    notices = {kind.value for kind in set(Kind) - NEVER_PAGES}

    assert {book.stem for book in BOOKS} == pages | notices | {"warnings"}


@pytest.mark.parametrize(
    "book", [one for one in BOOKS if one.stem != "warnings"], ids=lambda b: b.stem
)
def test_each_runbook_says_what_is_at_stake_how_to_look_what_to_do_and_whom_to_tell(
    book: Path,
) -> None:
    text = book.read_text(encoding="utf-8")
    parts = dict(re.findall(r"^(## [^\n]+)\n\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))

    assert tuple(parts) == HEADINGS
    assert all(part.strip() for part in parts.values())
    assert FENCE.search(parts["## Look"])


def test_amtool_is_told_where_alertmanager_is_where_it_asks_it() -> None:
    """Without it amtool has no address, unless somebody has made a file for it."""
    asking = re.compile(r"amtool (?:alert|silence|config) (?!.*--config\.file)[^`\n]*")
    found = {book.stem: asking.findall(book.read_text(encoding="utf-8")) for book in BOOKS}

    assert {stem: lines for stem, lines in found.items() if lines} == {}


@pytest.mark.parametrize("book", sorted(RUNBOOKS.glob("*.md")), ids=stem)
def test_links_between_runbooks_lead_somewhere(book: Path) -> None:
    links: list[Any] = re.findall(r"\]\(([\w./-]+)\)", book.read_text(encoding="utf-8"))

    assert [link for link in links if not (RUNBOOKS / link).is_file()] == []


def test_the_index_lists_every_runbook() -> None:
    text = (RUNBOOKS / "README.md").read_text(encoding="utf-8")

    assert [book.stem for book in BOOKS if f"({book.name})" not in text] == []


def test_rules_can_be_rendered_with_the_address_where_runbooks_are_published(
    tmp_path: Path, promtool: Promtool
) -> None:
    script = REPOSITORY / "deploy" / "prometheus" / "with-runbooks.sh"
    subprocess.run(["sh", str(script), "https://wiki.test/books/", str(tmp_path)], check=True)
    rendered = sorted(tmp_path.glob("*.yml"))
    found = [alert.annotations["runbook_url"] for alert in alerts(*rendered)]
    wanted = [alert.annotations["runbook_url"] for alert in alerts(*RULES)]

    assert found == [
        f"https://wiki.test/books/{one.removeprefix('docs/runbooks/')}" for one in wanted
    ]
    assert [promtool.check_rules(file) for file in rendered] == [""] * len(RULES)
