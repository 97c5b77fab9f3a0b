"""``facetally status`` with groups of processors: beside the members' numbers, never instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.homes import Home, event, ready

GROUP = '[[groups]]\nname = "city"\nmembers = ["acme", "beta"]\nfiled_by = "acme holding"\n'
SHARED = "".join(
    f'[[systems]]\nprocessor = "{processor}"\nsystem = "{system}"\nnamespace = "shared/city"\n'
    f"{more}\n"
    for processor in ("acme", "beta")
    for system, more in (
        ("gate", ""),
        ("lab", 'purpose = "research"\nreason = "training"\nby = "privacy office"'),
    )
)
EVENTS = [
    event("ann"),
    event("ann", processor="beta"),
    event("bob", processor="beta"),
    event("bob", system="lab"),
    event("cy", system="lab"),
    event("cy", system="lab", processor="beta"),
    event("dee", processor="other"),
]


def filled(home: Home) -> Home:
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return home


@pytest.fixture
def sharing(tmp_path: Path) -> Home:
    return filled(ready(tmp_path, GROUP, SHARED))


def test_a_group_that_shares_a_namespace_has_an_exact_number_beside_its_members(
    sharing: Home,
) -> None:
    found = sharing.json("status")

    assert found["groups"] == [
        {
            "group": "city",
            "members": ["acme", "beta"],
            "filed_by": "acme holding",
            "individuals": 2,
            "research_individuals": 2,
            "exact": True,
            "upper_bound": False,
            "namespace": "shared/city",
            "why_not_exact": None,
            "verified": True,
        }
    ]
    assert [
        (one["processor"], one["individuals"], one["research_individuals"])
        for one in found["processors"]
    ] == [("acme", 1, 2), ("beta", 2, 1), ("other", 1, 0)]


def test_a_group_that_shares_none_is_a_sum_that_is_labelled_as_an_upper_bound(
    tmp_path: Path,
) -> None:
    home = filled(ready(tmp_path, GROUP))
    (city,) = home.json("status")["groups"]

    # Without marks the laboratories are in operation, too.
    assert (city["individuals"], city["research_individuals"]) == (6, 0)
    assert (city["exact"], city["upper_bound"], city["namespace"]) == (False, True, None)
    assert city["why_not_exact"] == "the members' systems do not share one namespace"


def test_as_of_an_instant_the_number_of_a_group_is_a_sum(sharing: Home) -> None:
    (city,) = sharing.json("status", "--as-of", "2026-03-03T00:00:00Z")["groups"]

    assert (city["individuals"], city["upper_bound"]) == (3, True)


def test_the_table_says_which_number_is_exact_and_which_an_upper_bound(
    sharing: Home,
) -> None:
    exact = sharing.good("status").out
    bound = sharing.good("status", "--as-of", "2026-03-03T00:00:00Z").out

    assert "never instead of, the numbers of their members" in exact
    (row,) = (line for line in exact.splitlines() if "city" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "city",
        "2",
        "2",
        "exact",
        "acme, beta",
        "acme holding",
        "verified",
    ]
    assert "an upper bound: a number as of an instant is not counted by person" in bound


def test_without_groups_none_are_shown(tmp_path: Path) -> None:
    home = filled(ready(tmp_path))

    assert home.json("status")["groups"] == []
    assert "Groups" not in home.good("status").out
