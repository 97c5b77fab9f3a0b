"""Each command that a document names can be typed so: it exists, with its options and arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deploy.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPAN = re.compile(r"`([^`\n]+)`")
PROMPT = re.compile(r"^\$ facetally (.*)$", re.MULTILINE)


def named(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in *text*, without ``facetally``; `a b|c` are two."""
    for span in SPAN.findall(text):
        first, _, rest = span.partition(" ")
        if "failed, trying again" in rest:  # a line of a log, of what goes by a command's name
            continue
        if rest and (first == "facetally" or first in cli.commands):
            yield from spread(shlex.split(rest if first == "facetally" else span))
    yield from (shlex.split(line) for line in PROMPT.findall(text))


def spread(words: list[str]) -> Iterator[list[str]]:
    """Yield *words* for each of the names that stand for one, as in `duty annul|reopen`."""
    several = [place for place, word in enumerate(words) if re.fullmatch(r"[a-z|]+\|[a-z]+", word)]
    if not several:
        yield words
        return
    place = several[0]
    for one in words[place].split("|"):
        yield from spread([*words[:place], one, *words[place + 1 :]])


def wrong(words: list[str]) -> str | None:
    """Return what cannot be typed of *words*; what is left out is not wrong."""
    if words[0].startswith(("-", "[")):
        return None  # about facetally as a whole
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest:
        if rest[0] not in command.commands:
            return f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    options = {
        name: option
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    arguments = [one.nargs for one in command.params if isinstance(one, click.Argument)]
    given = 0
    while rest:
        word = rest.pop(0)
        if word in options:
            taken = 0 if options[word].is_flag else options[word].nargs
            rest = rest[taken:]
        elif word.startswith("-") and word not in {"-", "--help"}:
            return f"no option {word}"
        else:
            given += 1
    many = -1 not in arguments and given > sum(arguments)
    return "too many arguments" if many and not isinstance(command, click.Group) else None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_document_names_can_be_typed(path: Path) -> None:
    told = {" ".join(words): wrong(words) for words in named(path.read_text())}

    assert {words: why for words, why in told.items() if why is not None} == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("`event tell PROCESSOR assessment.recorded`", "too many arguments"),
        ("`facetally filings`, `facetally filing forget`", "no command forget"),
        ("`duty annul|forget`", "no command forget"),
        ("$ facetally verify --checkpoint a", "no option --checkpoint"),
    ],
)
def test_what_cannot_be_typed_is_found(text: str, why: str) -> None:
    assert [wrong(words) for words in named(text)][-1] == why
