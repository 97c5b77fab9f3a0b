"""What ``verify`` finds wrong with steps, changes and latches: the audit log says what was told."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert

from monitor.changes import ChangeKind
from monitor.filings import StepKind
from monitor.store import changes, schema
from monitor.store.changes import ChangeSaid, Verdict
from monitor.store.filings_said import Decided, decide
from tests.builders import ACME, CY, enrolled
from tests.integration.feed import DAY, POLICY, TWO, confirmed
from tests.integration.filing_kit import FILE, LATER, say
from tests.integration.store_kit import NOW, batch, keeper, rows
from tests.integration.test_store_owed import by_hand, wrong


@pytest.fixture
def told(engine: Engine) -> Engine:
    """A filing with three steps, two candidates of which one is decided, and a latch."""
    confirmed(engine, TWO)
    say(engine, StepKind.SUBMITTED, "2026-03-05", reference="7")
    say(engine, StepKind.RETURNED, "2026-03-06")
    no = Decided(processor=ACME, kind=StepKind.ANNULLED, rule=FILE, by="office", reason="test")
    decide(engine, no, POLICY, LATER)
    for kind in (ChangeKind.OTHER, ChangeKind.PROVIDER):
        new = ChangeSaid(processor=ACME, kind=kind, at=NOW, by="office", reason="another")
        changes.record(engine, new, NOW + DAY)
    yes = Verdict(number=1, confirmed=True, by="officer", reason="asked", at=NOW - DAY)
    changes.decide(engine, yes, POLICY, NOW + DAY)
    return engine


def test_what_was_told_and_decided_is_right(told: Engine) -> None:
    (reach,) = rows(told, "reaches")

    assert (reach.latch, len(rows(told, "steps")), len(rows(told, "changes"))) == (2, 3, 2)
    assert wrong(told) == {}


def test_a_forged_completion_is_told(told: Engine) -> None:
    with told.begin() as connection:
        row = {
            "processor_id": 1,
            "step": "said:forged",
            "kind": "completed",
            "at": NOW,
            "known_at": NOW,
            "source": "command",
            "rule": FILE,
            "duty": "1",
            "by": "nobody",
            "detail": "{}",
        }
        connection.execute(insert(schema.steps).values(row))

    found = wrong(told)["steps"]
    assert found == "wrong: acme said:forged (no entry of the audit log told it)"


@pytest.mark.parametrize(
    ("damage", "differs"),
    [
        ("kind = 'completed'", "kind"),
        ("at = at - 86400000000", "at"),
        ("known_at = 5", "known_at"),
        ("duty = '9'", "duty"),
        ("\"by\" = 'nobody'", "by"),
        ("reference = '8'", "reference"),
        ("withdraws = 'said:other'", "withdraws"),
        ("detail = replace(detail, 'individuals', 'people')", "individuals, people"),
        ("detail = replace(detail, 'gate', 'door')", "places_sha256"),
        ("detail = detail || 'x'", "detail is no JSON object"),
        ("detail = '[]'", "detail is no JSON object"),
    ],
)
def test_a_step_that_was_changed_by_hand_is_told(told: Engine, damage: str, differs: str) -> None:
    by_hand(told, f"UPDATE steps SET {damage} WHERE kind = 'submitted'")  # noqa: S608 - of this table

    assert wrong(told)["steps"].endswith(f"(not as the audit log says: {differs})")


def test_steps_and_changes_that_are_gone_are_told(told: Engine) -> None:
    by_hand(told, "DELETE FROM steps WHERE kind = 'annulled'", "DELETE FROM changes WHERE id = 2")
    found = wrong(told)

    assert found["steps"].endswith("(missing)")
    assert found["changes"] == "wrong: acme 2 (missing)"


@pytest.mark.parametrize(
    ("number", "damage", "differs"),
    [
        (1, "decision = 'dismissed'", "decision"),
        (2, "decision = 'dismissed'", "decision"),
        (1, "\"by\" = 'nobody'", "by"),
        (1, "reason = 'none'", "reason"),
        (1, "at = 5", "at"),
        (2, "proposed_at = 5", "proposed_at"),
        (2, "what = 'other'", "what"),
        (2, "evidence = '{}'", "evidence"),
        (2, "evidence = evidence || 'x'", "evidence"),
    ],
)
def test_a_change_that_was_changed_by_hand_is_told(
    told: Engine, number: int, damage: str, differs: str
) -> None:
    by_hand(told, f"UPDATE changes SET {damage} WHERE id = {number}")  # noqa: S608 - of this table

    assert wrong(told) == {
        "changes": f"wrong: acme {number} (not as the audit log says: {differs})"
    }


@pytest.mark.parametrize("damage", ["latch = 3", '"after" = 5', 'latch = 1, "after" = NULL'])
def test_a_latch_that_was_changed_by_hand_is_told(told: Engine, damage: str) -> None:
    by_hand(told, f"UPDATE reaches SET {damage}")  # noqa: S608 - of this table

    assert "the audit log says 2" in wrong(told)["latches"]


def test_a_latch_that_is_gone_is_told(told: Engine) -> None:
    by_hand(told, "DELETE FROM reaches")

    assert wrong(told)["latches"] == "wrong: acme frt.file (missing)"


def test_candidates_that_were_found_are_right(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, StepKind.SUBMITTED, "2026-03-05")
    say(engine, StepKind.COMPLETED, "2026-03-10")
    keeping = keeper(engine, POLICY)
    keeping.keep([batch([enrolled(CY, NOW)], read_at=NOW)])
    keeping.tick(NOW + DAY)

    assert {row.source for row in rows(engine, "changes")} == {"monitor"}
    assert wrong(engine) == {}
