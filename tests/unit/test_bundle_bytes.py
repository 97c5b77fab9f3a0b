"""Every byte of every file of a bundle, changed, cut off, put in: all of it is found."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import repeat

import pytest

from monitor.bundle import CALENDARS, ENTRIES, FILES, MANIFEST, RULES
from monitor.bundle_check import verify
from tests.unit.test_bundle import Held, bundle, chain, told

FLIPS = (1, 4, 32, 128, 255)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_every_changed_byte_of_every_file_is_found(name: str) -> None:
    whole = bundle()
    unnoticed = [
        (at, flip)
        for at in range(len(whole[name]))
        for flip in FLIPS
        if verify(Held({**whole, name: changed(whole[name], at, flip)})).holds
    ]

    assert unnoticed == []


def changed(content: bytes, at: int, flip: int) -> bytes:
    return content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_file_that_is_cut_off_anywhere_or_grown_is_found(name: str) -> None:
    whole = bundle()
    content = whole[name]
    cut = [content[:end] for end in range(len(content))]
    grown = [content + more for more in (b"\n", b" ", b"{}\n", content)]
    inserted = [content[:at] + b" " + content[at:] for at in range(len(content))]

    assert not any(
        verify(Held({**whole, name: other})).holds for other in (*cut, *grown, *inserted)
    )


@pytest.mark.parametrize("name", [ENTRIES, CALENDARS, RULES])
def test_lines_that_are_dropped_doubled_or_change_places_are_found(name: str) -> None:
    whole = bundle()
    content = whole[name].splitlines(keepends=True)
    others = [content[:n] + content[n + 1 :] for n in range(len(content))]
    others += [content[: n + 1] + content[n:] for n in range(len(content))]
    for one in range(len(content)):
        for other in range(one):
            swapped = list(content)
            swapped[one], swapped[other] = swapped[other], swapped[one]
            others.append(swapped)

    assert not any(verify(Held({**whole, name: b"".join(one)})).holds for one in others)


def offsets_of_lines(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield each byte with the number of its line."""
    line = 1
    for at, byte in enumerate(content):
        yield at, line
        line += byte == ord("\n")


def test_the_entry_of_a_changed_byte_is_named_as_the_first_broken_link() -> None:
    whole = bundle()
    content = whole[ENTRIES]
    for at, line in offsets_of_lines(content):
        verdict = verify(Held({**whole, ENTRIES: changed(content, at, 1)}))

        assert told(verdict)[:2] == (ENTRIES, line), at


def test_memory_does_not_grow_with_the_log() -> None:
    body = {"text": "x" * 1_000}
    long = bundle(chain(repeat(("duty.opened", body), 5_000)))
    tracemalloc.start()
    verdict = verify(long)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert verdict.holds
    assert len(long[ENTRIES]) > 6_000_000
    assert peak < 2_500_000  # blocks of a megabyte
