"""``facetally apply`` killed in the middle of a file, and the ways on from there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.homes import Home, event, ready
from tests.workers import until

# A file that is still being written: ``apply`` waits in its middle.
TIMES = ["06:00", "08:00", "09:00", "10:00"]
HALF = [event(f"p{n}", time=f"2026-03-02T{at}:00Z") for n, at in enumerate(TIMES)]
FURTHER = ["x" * 1000] * 100  # more than is read of a file at once
TAKES_AWAY = event("p0", kind="subject.removed", time="2026-03-02T07:00:00Z")
RULES = '[[rules]]\nid = "frt.file"\nat_least = 4\n'


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Home, Path]:
    """Return a home in which ``apply`` was killed in the middle of a file, and that file.

    Half of it reaches the threshold, the whole of it does not.
    """
    made = ready(tmp_path, RULES, max_batch_records=50)
    file = tmp_path / "export.ndjson"
    os.mkfifo(file)
    applying = made.start("apply", str(file), "--source", "cloudevents")
    with file.open("w") as pipe:
        pipe.write("\n".join([*HALF, *FURTHER]) + "\n")
        pipe.flush()
        seen = until(lambda: made.individuals() == {"acme": 4})
        applying.kill()
    file.unlink()
    assert seen, applying.tail()
    return made, file


def another_applied(made: Home) -> str:
    """Apply another file to its end, which confirms all that can be; return what it warns of."""
    other = made.write("other.ndjson", [event("zoe", processor="beta")])
    return made.good("apply", other, "--source", "cloudevents").err


def of_acme(made: Home) -> tuple[Any, ...]:
    """Return how the threshold stands, why the number is unverified, and what is owed."""
    (one,) = [one for one in made.json("status")["processors"] if one["processor"] == "acme"]
    reasons = [(why["reason"], why["topic"]) for why in one["unverified"]]
    return one["thresholds"][0]["reached"], reasons, len(made.json("duties")["duties"])


def test_nobody_confirms_what_half_a_file_reached_and_it_is_said(killed: tuple[Home, Path]) -> None:
    made, _ = killed
    warned = another_applied(made)

    assert of_acme(made) == ("pending", [("file_unfinished", "export.ndjson")], 0)
    assert "no reach is confirmed: unfinished are export.ndjson;" in warned


def test_applied_again_to_its_end_the_file_counts(killed: tuple[Home, Path]) -> None:
    made, file = killed
    made.good("apply", made.write(file.name, [*HALF, TAKES_AWAY]), "--source", "cloudevents")
    warned = another_applied(made)

    assert of_acme(made) == ("no", [], 0)
    assert warned == ""


def test_a_plain_file_that_was_cut_within_a_line_confirms_nothing_until_it_is_whole(
    tmp_path: Path,
) -> None:
    """As a copy leaves it that ran out of room: what is missing takes somebody away again."""
    made = ready(tmp_path, RULES, max_batch_records=50)
    whole = "".join(f"{line}\n" for line in [*HALF, TAKES_AWAY])
    file = tmp_path / "export.ndjson"
    file.write_text(whole[:-20])
    refused = made.run("apply", str(file), "--source", "cloudevents")
    another_applied(made)
    cut = of_acme(made)
    file.write_text(whole)
    made.good("apply", str(file), "--source", "cloudevents")

    assert refused.code == 2
    assert "export.ndjson ends in the middle of a line after" in refused.err
    assert cut == ("pending", [("file_unfinished", "export.ndjson")], 0)
    assert of_acme(made) == ("no", [], 0)


def test_abandoned_by_a_person_what_was_read_counts(killed: tuple[Home, Path]) -> None:
    made, _ = killed
    said = made.good("abandon", "--by", "privacy office", "--because", "will not come again")
    another_applied(made)

    assert said.out.startswith("abandoned: export.ndjson (cloudevents), unfinished since 20")
    assert of_acme(made) == ("yes", [], 1)


def test_there_is_nothing_to_abandon_after_that(killed: tuple[Home, Path]) -> None:
    made, _ = killed
    words = ("abandon", "--by", "office", "--because", "it is over")
    first = made.json(*words)["abandoned"]
    again = made.run(*words)

    assert [(one["source"], one["file"]) for one in first] == [("cloudevents", "export.ndjson")]
    assert (again.code, again.err) == (2, "facetally: there is no unfinished file\n")
