"""Rows that are set aside come back by key and in order, and leave nothing on the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from monitor.store.spilling import Spill

ROWS = [(n % 3, (n, bytes([n % 256]) * 16, None, -(2**63) + n)) for n in range(5_000)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("held", [0, 1, 7, 3_000, 10_000])
def test_rows_come_back_by_key_in_their_order(held: int) -> None:
    with Spill[int](held) as spill:
        for key, row in ROWS:
            spill.add(key, row)
        found = {key: list(spill.read(key)) for key in range(3)}

    assert found == {key: [row for of, row in ROWS if of == key] for key in range(3)}


def test_keys_can_be_read_at_the_same_time_and_again() -> None:
    with Spill[int](100) as spill:
        for key, row in ROWS:
            spill.add(key, row)
        pairs = list(zip(spill.read(0), spill.read(1), strict=False))
        again = list(zip(spill.read(0), spill.read(1), strict=False))

    assert pairs == again
    assert all(one[0] + 1 == other[0] for one, other in pairs)


def test_a_key_that_nothing_was_added_to_is_empty() -> None:
    with Spill[str](0) as spill:
        spill.add("here", (1,))

        assert list(spill.read("there")) == []


def test_the_file_has_no_name_while_it_is_used(folder: Path) -> None:
    with Spill[int](0) as spill:
        for key, row in ROWS:
            spill.add(key, row)

        assert list(folder.iterdir()) == []


def test_what_fits_needs_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with Spill[int](len(ROWS)) as spill:
        for key, row in ROWS:
            spill.add(key, row)
        found = len(list(spill.read(2)))
        with pytest.raises(FileNotFoundError):
            spill.add(0, (1,))

    assert found == len(ROWS) // 3


def test_after_closing_nothing_is_held() -> None:
    spill = Spill[int](0)
    spill.add(1, (1,))
    spill.close()

    assert list(spill.read(1)) == []
