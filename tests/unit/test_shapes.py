from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest

from deploy.cli.common import parse_instant, rfc3339
from deploy.cli.main import cli
from tests.conftest import REPOSITORY
from tests.homes import Home, event, ready

GUIDE = REPOSITORY / "docs" / "commands.md"
RULES = (
    '[[rules]]\nid = "frt.file"\nat_least = 2\n[[systems]]\nprocessor = "acme"\nsystem = "lab"\n'
    'purpose = "research"\nreason = "training"\nby = "privacy office"\n'
)
EVENTS = [
    event("ann", time="2026-03-02T08:00:00Z"),
    event("bob", time="2026-11-22T08:00:00.25Z"),
    event("cy", system="lab"),
    event("dee", processor="beta"),
    event(None, kind="processor.terminated", system=None, time="2026-03-02T16:00:00Z"),
    event("eve", kind="face.nonsense"),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A database in which there is one of everything that is shown."""
    home = ready(tmp_path_factory.mktemp("home"), RULES)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return home


def typed(value: object) -> str:
    return type(value).__name__


def keys_and_types(found: Mapping[str, object]) -> dict[str, str]:
    return {key: typed(value) for key, value in found.items()}


def test_status_has_the_keys_and_types_that_others_rely_on(filled: Home) -> None:
    found = filled.json("status")
    acme = found["processors"][0]

    assert keys_and_types(found) == {
        "processors": "list",
        "groups": "list",
        "rejected": "dict",
        "ignored": "dict",
    }
    assert keys_and_types(acme) == {
        "processor": "str",
        "individuals": "int",
        "research_individuals": "int",
        "systems": "list",
        "thresholds": "list",
        "verified": "bool",
        "unverified": "list",  # more than is promised: why a number is not verified
        "recount_pending": "bool",
    }
    assert found["rejected"] == {"total": 1, "by_reason": {"unknown_type": 1}}
    assert found["ignored"] == {"total": 0, "by_reason": {}}


def test_status_tells_systems_and_thresholds_of_each_processor(filled: Home) -> None:
    acme, beta = filled.json("status")["processors"]

    assert (acme["processor"], acme["individuals"], acme["research_individuals"]) == ("acme", 2, 1)
    assert sorted(acme["systems"], key=lambda one: str(one["system"])) == [
        {"system": "gate", "individuals": 2},
        {"system": "lab", "individuals": 1},
    ]
    assert datetime.fromisoformat(acme["thresholds"][0].pop("known_at")).utcoffset() is not None
    outlooks = [one["thresholds"][0].pop("forecast")["outlook"] for one in (acme, beta)]
    assert outlooks == ["reached", "not_growing"]
    assert acme["thresholds"] == [
        {
            "rule": "frt.file",
            "at_least": 2,
            "reached": "yes",
            "trigger_day": "2026-11-22",
            "not_later_than": False,
            "warned_percent": None,
        }
    ]
    assert beta["thresholds"] == [
        {
            "rule": "frt.file",
            "at_least": 2,
            "reached": "no",
            "trigger_day": None,
            "not_later_than": False,
            "known_at": None,
            "warned_percent": None,
        }
    ]


def test_duties_have_the_keys_and_types_that_others_rely_on(filled: Home) -> None:
    found = filled.json("duties")
    by_rule = {duty["rule"]: duty for duty in found["duties"]}
    provisional, exact = by_rule["frt.file"], by_rule["frt.cancel"]

    assert set(found) == {"duties"}
    assert keys_and_types(exact) == {
        "processor": "str",
        "rule": "str",
        "key": "str",
        "status": "str",
        "trigger_day": "str",
        "due_day": "str",
        "due_between": "NoneType",
        "working_days_left": "int",
        "calendar_version": "str",
        "owed_by": "str",
        "submitted_day": "NoneType",
        "submitted_in_time": "NoneType",
        "still_stored": "dict",
        "proof": "dict",
        "verified": "bool",
        "unverified": "list",
    }
    assert (exact["trigger_day"], exact["due_day"]) == ("2026-03-03", "2026-04-15")
    assert provisional["due_day"] is None
    assert provisional["due_between"] == ["2027-01-01", "2027-01-11"]


def test_working_days_have_the_keys_and_types_that_others_rely_on(filled: Home) -> None:
    exact = filled.json("working-days", "2026-11-19", "30")
    provisional = filled.json("working-days", "2026-11-22", "30")

    assert exact.pop("calendar_version") == provisional.pop("calendar_version")
    assert exact == {
        "trigger_day": "2026-11-19",
        "working_days": 30,
        "due_day": "2026-12-31",
        "due_between": None,
        "provisional": False,
    }
    assert provisional == {
        "trigger_day": "2026-11-22",
        "working_days": 30,
        "due_day": None,
        "due_between": ["2027-01-01", "2027-01-11"],
        "provisional": True,
    }


def test_the_numbers_as_of_an_instant_are_those_of_the_facts_until_then(filled: Home) -> None:
    def individuals(as_of: str) -> int:
        processors = filled.json("status", "--as-of", as_of)["processors"]
        return next(int(p["individuals"]) for p in processors if p["processor"] == "acme")

    assert individuals("2026-03-02T07:59:59Z") == 0
    assert individuals("2026-03-02T08:00:00Z") == 1
    assert individuals("2026-03-02T15:59:59.999999+08:00") == 0
    assert individuals("2026-03-02T16:00:00+08:00") == 1
    assert individuals("2026-03-02T03:00:00-05:00") == 1
    assert individuals("2026-11-22T08:00:00.25Z") == 2
    assert individuals("0001-01-01T00:00:00+23:59") == 0


def test_the_last_instant_there_is_lies_ahead_and_is_misuse(filled: Home) -> None:
    answer = filled.run("status", "--as-of", "9999-12-31T23:59:59-23:59")

    assert answer.code == 2
    assert "is in the future" in answer.err


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-22", "2026-11-22T12:00:00", "2026-13-01T00:00:00Z", "1e9"]
)
def test_an_instant_without_offset_or_sense_is_misuse(filled: Home, text: str) -> None:
    answer = filled.run("status", "--as-of", text)

    assert answer.code == 2
    assert "give an instant with its offset" in answer.err


def test_instants_are_written_in_utc_with_microseconds_only_where_there_are_any() -> None:
    assert rfc3339(parse_instant("2026-11-22T12:00:00+08:00")) == "2026-11-22T04:00:00Z"
    assert rfc3339(parse_instant("1969-12-31T23:59:59.5Z")) == "1969-12-31T23:59:59.500000Z"
    assert rfc3339(None) is None


def test_a_name_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    home = ready(tmp_path)
    name = "[red]acme[/x]"
    file = home.write("events.ndjson", [event(processor=name, system="[b]gate")])
    home.good("apply", file, "--source", "cloudevents")

    assert name in home.good("status").out


# Every command, its help and its guide.


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_says_what_it_does(filled: Home, path: tuple[str, ...]) -> None:
    answer = filled.good(*path, "--help")
    described = [
        option.help
        for option in COMMANDS[path].params
        if isinstance(option, click.Option) and option.name != "help"
    ]

    assert f"cli {' '.join(path)}" in answer.out
    assert COMMANDS[path].help
    assert all(described)


@pytest.mark.parametrize("name", ["web", "reconcile"])
def test_what_is_not_built_yet_says_so(filled: Home, name: str) -> None:
    answer = filled.run(name, "--system", "gate")

    assert answer.code == 2
    assert "not_yet_supported" in answer.err
    assert name not in filled.good("--help").out


def guide() -> dict[str, str]:
    """Return the sections of the guide by the command that they are about."""
    text = GUIDE.read_text()
    parts = re.split(r"^## `facetally (.*)`$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_guide_has_every_command_with_its_options_and_an_example(
    path: tuple[str, ...],
) -> None:
    section = guide()[" ".join(path)]
    missing = [
        opt
        for option in COMMANDS[path].params
        if isinstance(option, click.Option) and option.name not in {"config", "help"}
        for opt in option.opts
        if f"`{opt}" not in section
    ]

    assert missing == []
    assert f"$ facetally {' '.join(path)}" in section


def test_the_guide_has_no_other_commands() -> None:
    known = {" ".join(path) for path in COMMANDS}

    assert set(guide()) <= known


EXAMPLE = re.compile(r"^\$ facetally (working-days .*)\n(.*)$", re.MULTILINE)


@pytest.mark.parametrize(("words", "said"), EXAMPLE.findall(GUIDE.read_text()))
def test_the_guide_shows_what_is_really_said(filled: Home, words: str, said: str) -> None:
    assert filled.good(*words.split()).out.splitlines()[0] == said


def keys(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: keys(value) for key, value in found.items()}
    return [keys(found[0])] if isinstance(found, list) and found else typed(found)


@pytest.mark.parametrize("name", ["status", "duties"])
def test_the_json_in_the_guide_has_the_shape_of_the_real_one(filled: Home, name: str) -> None:
    shown = re.search(r"--json\n(\{.*?^\})$", guide()[name], re.DOTALL | re.MULTILINE)
    assert shown is not None
    real = filled.json(name)
    if name == "duties":
        real["duties"] = [d for d in real["duties"] if d["rule"] == "frt.file"]
    else:
        real["processors"] = real["processors"][:1]
        real["processors"][0]["unverified"] = []

    def plain(found: dict[str, Any]) -> Any:
        found.get("rejected", {}).pop("by_reason", None)
        return keys(found)

    assert plain(json.loads(shown[1])) == plain(real)


def test_a_day_is_written_as_the_calendar_does(filled: Home) -> None:
    for text in ("20261122", "2026-W47-7", "2026-02-30", "22.11.2026", ""):
        answer = filled.run("working-days", text, "30")
        assert answer.code == 2
        assert "DATE must be a day such as 2026-11-22" in answer.err
    assert filled.json("working-days", "2026-11-19", "1")["due_day"] == "2026-11-20"
