from __future__ import annotations

import json
from dataclasses import replace

import pytest

from monitor.chain import (
    GENESIS,
    Checkpoint,
    Entry,
    Links,
    Unreadable,
    canonical,
    checkpoints_from,
    entry_from,
    first_broken,
    line_of,
    parsed,
    seal,
)


def chain(length: int) -> list[Entry]:
    entries: list[Entry] = []
    for seq in range(1, length + 1):
        previous = entries[-1].hash if entries else GENESIS
        body = canonical({"number": seq, "名": "脸"})
        entries.append(seal(seq, seq * 10, "duty.opened", "acme", body, previous))
    return entries


def test_the_first_entry_is_sealed_as_any_sha256_tool_seals_it() -> None:
    """By ``sha256sum``, as an auditor would who has only the export.

    The text is ``["000...", 1, 10, "duty.opened", "acme", "{\\"name\\":\\"脸\\"}"]`` in UTF-8.
    """
    entry = seal(1, 10, "duty.opened", "acme", canonical({"name": "脸"}), GENESIS)

    assert entry.previous == "0" * 64
    assert entry.body == '{"name":"脸"}'
    assert entry.hash == "e925d79a84fd1a3f01df7ac107bf348711fa9df26737f0d19b4ba9f0764f625a"


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_chain_as_it_was_sealed_is_whole(length: int) -> None:
    assert first_broken(chain(length)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 7},
        {"seq": 2},
        {"at": 31},
        {"kind": "duty.moved"},
        {"processor": "beta"},
        {"processor": None},
        {"body": canonical({"number": 4})},
        {"previous": "f" * 64},
        {"hash": "f" * 64},
    ],
)
def test_a_changed_field_breaks_the_chain_where_it_is(change: dict[str, object]) -> None:
    entries = chain(5)
    entries[2] = replace(entries[2], **change)  # type: ignore[arg-type]  # fields of an entry

    assert first_broken(entries) == 3


def test_an_entry_sealed_again_breaks_the_next_one() -> None:
    entries = chain(5)
    entries[2] = seal(3, 30, "duty.opened", "acme", canonical({"number": 9}), entries[1].hash)

    assert first_broken(entries) == 4


@pytest.mark.parametrize("gone", [0, 2])
def test_a_missing_entry_breaks_the_chain_where_it_was(gone: int) -> None:
    entries = chain(5)
    del entries[gone]

    assert first_broken(entries) == gone + 1


def test_two_entries_that_changed_places_break_the_chain() -> None:
    entries = chain(5)
    entries[1], entries[2] = entries[2], entries[1]

    assert first_broken(entries) == 2


def test_an_entry_put_in_between_breaks_the_chain() -> None:
    entries = chain(3)
    forged = seal(2, 15, "duty.opened", "acme", canonical({}), entries[0].hash)

    assert first_broken([entries[0], forged, *entries[1:]]) == 3


def test_what_stands_in_one_field_cannot_be_moved_to_the_next() -> None:
    one = seal(1, 1, "a", "b", "c", GENESIS)
    other = seal(1, 1, "a", 'b","c', "", GENESIS)

    assert one.hash != other.hash


def test_one_body_has_one_spelling() -> None:
    assert canonical({"b": 1, "a": "脸"}) == canonical({"a": "脸", "b": 1}) == '{"a":"脸","b":1}'
    assert json.loads(canonical({"a": [1, None]})) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seq": 5}, "entry 3 should stand where entry 5 does"),
        ({"previous": "f" * 64}, "entry 3 does not follow from the entry before it"),
        ({"kind": "duty.moved"}, "entry 3 is not what its hash was made of"),
    ],
)
def test_who_follows_the_chain_is_told_why_it_ends(change: dict[str, object], why: str) -> None:
    entries, links = chain(3), Links()
    entries[2] = replace(entries[2], **change)  # type: ignore[arg-type]  # fields of an entry

    assert [links.follow(entry) for entry in entries] == [None, None, why]
    assert (links.seq, links.hash) == (2, entries[1].hash)


def test_an_entry_is_read_back_from_its_line() -> None:
    entry = replace(chain(2)[1], processor=None)
    line = line_of(entry)

    assert entry_from(f"{line}\n".encode()) == entry
    assert "\n" not in line


LINE = f"{line_of(chain(1)[0])}\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"a":1e999}\n', "it is not spelled as it was written"),
        ("[]\n", "it is not spelled as it was written"),
        (LINE.rstrip(), "it is not spelled as it was written"),
        (LINE + "\n", "it is not spelled as it was written"),
        (LINE.replace('{"at"', '{ "at"'), "it is not spelled as it was written"),
        (LINE.replace('{"at":10', '{"at":9,"at":10'), "it is not spelled as it was written"),
        (LINE.replace("\u8138", "\\u8138"), "it is not spelled as it was written"),
        (LINE.replace('"at":10', '"at":10.0'), "it does not have just seq, at, kind, processor"),
        (LINE.replace('"at":10', '"at":true'), "it does not have just seq, at, kind, processor"),
        (LINE.replace('"at":10', '"and":1,"at":10'), "it does not have just seq, at, kind"),
        (LINE.replace('"at":10,', ""), "it does not have just seq, at, kind, processor"),
    ],
)
def test_a_line_that_is_not_as_we_write_it_is_refused(line: str, why: str) -> None:
    with pytest.raises(Unreadable) as refused:
        entry_from(line.encode())

    assert str(refused.value).startswith(why)


def test_what_is_no_utf_8_is_refused() -> None:
    with pytest.raises(Unreadable, match="it is no JSON"):
        parsed(b'{"a":"\xff"}\n', {"a": (str,)})
    with pytest.raises(Unreadable, match="it is no JSON"):
        parsed(b'{"a":"\\ud800"}\n', {"a": (str,)})


def test_checkpoints_are_read_back_one_a_line() -> None:
    first, second = (Checkpoint(seq=n, hash="0" * 64, at=n * 5) for n in (1, 2))
    lines = [f"{one.line()}\n".encode() for one in (first, second)]

    assert checkpoints_from(lines) == [first, second]
    assert checkpoints_from(line.rstrip() for line in lines) == [first, second]
    with pytest.raises(Unreadable, match=r"^line 2: it does not have just seq, hash, at$"):
        checkpoints_from([lines[0], b'{"seq":1}\n'])
