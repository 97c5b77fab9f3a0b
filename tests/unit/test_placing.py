from __future__ import annotations

import pytest

from monitor.intake import Gap, GapReason, StoredPosition
from streams.placing import Place, Span, place

NOW = 99


def at(stored: StoredPosition | None, span: Span) -> Place:
    return place("faces", 2, stored, span, NOW)


def test_a_partition_that_was_never_read_is_read_from_its_start() -> None:
    assert at(None, Span("id", 5, 9)) == Place("id", None, 5)


@pytest.mark.parametrize(("start", "lost"), [(0, False), (1, True)])
def test_an_added_partition_is_a_gap_from_its_first_record_on_if_its_log_begins_later(
    start: int,
    lost: bool,  # noqa: FBT001 - pytest hands it over
) -> None:
    placed = place("faces", 2, None, Span("id", start, 9), NOW, added=True)
    gap = Gap("faces", 2, "id", GapReason.RETENTION, 0, start, NOW)

    assert placed == Place("id", None, start, gap if lost else None)


@pytest.mark.parametrize(
    "position",
    [
        5,  # The first record of the log is the next one.
        7,
        9,  # All has been read.
    ],
)
def test_a_stored_position_within_the_log_is_read_from(position: int) -> None:
    stored = StoredPosition("id", position, None)

    assert at(stored, Span("id", 5, 9)) == Place("id", position, position)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        # One record is gone.
        (StoredPosition("id", 4, None), GapReason.RETENTION),
        # The log was cut off behind us.
        (StoredPosition("id", 10, None), GapReason.BEYOND_END),
        # Another topic of the same name, though the position lies within it.
        (StoredPosition("other", 7, None), GapReason.RECREATED),
        # Another topic counts more than where the position lies.
        (StoredPosition("other", 10, None), GapReason.RECREATED),
    ],
)
def test_a_position_that_cannot_be_read_from_is_a_gap_and_goes_on_at_the_start(
    stored: StoredPosition, reason: GapReason
) -> None:
    placed = at(stored, Span("id", 5, 9))

    assert (placed.offset, placed.expected, placed.topic_id) == (5, 5, "id")
    assert placed.gap is not None
    assert placed.gap.reason is reason
    assert (placed.gap.expected, placed.gap.resume) == (stored.next_offset, 5)
    assert (placed.gap.topic_id, placed.gap.seen_at) == ("id", NOW)
