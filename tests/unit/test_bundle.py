"""The bundle of the audit log: whatever is changed of it is found, and its link is named."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

from monitor.bundle import (
    CALENDAR_LOADED,
    CALENDAR_USED,
    CALENDARS,
    ENTRIES,
    FILES,
    LONGEST_LINE,
    MANIFEST,
    README,
    RULES,
    RULES_USED,
    Summary,
    Verdict,
    calendar_line,
    manifest_line,
    rules_line,
)
from monitor.bundle_check import verify
from monitor.calendars import parse_year, read_sheets
from monitor.chain import GENESIS, Checkpoint, Entry, canonical, line_of, seal

EXPORTED_AT = 1_000
RULE = {"id": "frt.file", "at_least": 100_000}


class Held(dict[str, bytes]):
    """A bundle in memory."""

    def names(self) -> Iterable[str]:
        return list(self)

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self[name])


def sheet(version: str, text: str) -> dict[str, object]:
    sealed = hashlib.sha256(text.encode()).hexdigest()
    return {"year": 2026, "version": version, "sha256": sealed}


TEXTS = {"2026-1": "first = 1\n", "2026-2": "first = 2 # 二\n"}
BODIES: list[tuple[str, Mapping[str, object]]] = [
    (CALENDAR_USED, sheet("2026-1", TEXTS["2026-1"])),
    (RULES_USED, {"rules": [RULE]}),
    ("duty.opened", {"due_day": "2026-12-31", "individuals": 100_000}),
    (CALENDAR_LOADED, sheet("2026-2", TEXTS["2026-2"])),
    ("duty.due_moved", {"名": "脸"}),
]


def chain(bodies: Iterable[tuple[str, Mapping[str, object]]] = BODIES) -> list[Entry]:
    entries: list[Entry] = []
    for seq, (kind, body) in enumerate(bodies, 1):
        previous = entries[-1].hash if entries else GENESIS
        whose = "acme" if kind.startswith("duty") else None
        entries.append(seal(seq, seq * 10, kind, whose, canonical(body), previous))
    return entries


def lines(found: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in found).encode()


def sealed(contents: Mapping[str, bytes], chain_says: Mapping[str, object]) -> Held:
    """Return *contents* with a manifest that fits them."""
    files = {
        name: {"bytes": len(one), "sha256": hashlib.sha256(one).hexdigest()}
        for name, one in contents.items()
    }
    manifest = manifest_line(
        product="facetally 1",
        exported_at=EXPORTED_AT,
        retention_years=3,
        chain=chain_says,
        files=files,
    )
    return Held({**contents, MANIFEST: lines([manifest])})


def bundle(entries: Iterable[Entry] | None = None, **other: bytes) -> Held:
    """Return what is exported of *entries*, or with *other* contents, sealed all the same."""
    entries = chain() if entries is None else list(entries)
    summary = Summary()
    for entry in entries:
        summary.follow(entry)
    calendars = [
        calendar_line(seq, 2026, version, TEXTS[version])
        for (_, version, _), seqs in summary.calendars.items()
        for seq in seqs
        if isinstance(version, str)
    ]
    contents = {
        README: b"words\n",
        CALENDARS: lines(calendars),
        RULES: lines(rules_line(seq, rules) for seq, rules in summary.rules.items()),
        ENTRIES: lines(map(line_of, entries)),
    }
    given = {name: other[key] for name, key in _KEYS.items() if key in other}
    return sealed(contents | given, summary.as_json())


_KEYS = {README: "readme", CALENDARS: "calendars", RULES: "rules", ENTRIES: "log"}


def told(verdict: Verdict) -> tuple[str, int | None, str]:
    first = verdict.first_broken
    assert first is not None
    return first.file, first.seq, first.why


def test_a_bundle_as_it_was_exported_holds() -> None:
    verdict = verify(bundle())

    assert (verdict.holds, verdict.first_broken) == (True, None)
    assert verdict.chain == {
        "entries": 5,
        "head": chain()[-1].hash,
        "first_at": 10,
        "last_at": 50,
        "kinds": {
            "calendar.loaded": 1,
            "calendar.used": 1,
            "duty.due_moved": 1,
            "duty.opened": 1,
            "rules.used": 1,
        },
    }
    assert (verdict.product, verdict.exported_at) == ("facetally 1", EXPORTED_AT)


def test_the_bundle_of_an_empty_log_holds() -> None:
    verdict = verify(bundle([]))

    assert verdict.holds
    assert verdict.chain == {
        "entries": 0,
        "head": GENESIS,
        "first_at": None,
        "last_at": None,
        "kinds": {},
    }


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        (1, "entry 1 should stand where entry 2 does"),
        (3, "entry 3 should stand where entry 4 does"),
        (5, "entry 5 is missing: 5 were exported"),
    ],
)
def test_an_entry_that_is_gone_is_named(gone: int, why: str) -> None:
    whole = bundle()
    content = whole[ENTRIES].splitlines(keepends=True)
    del content[gone - 1]

    assert told(verify(Held({**whole, ENTRIES: b"".join(content)}))) == (ENTRIES, gone, why)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_file_that_is_missing_is_named(name: str) -> None:
    whole = bundle()
    del whole[name]
    verdict = verify(whole)

    assert (name, None, "it is missing") in [(b.file, b.seq, b.why) for b in verdict.broken]


def test_a_file_that_was_put_in_is_named() -> None:
    verdict = verify(Held({**bundle(), "more.txt": b""}))

    assert told(verdict) == ("more.txt", None, "it does not belong to the bundle")


def test_a_changed_manifest_blames_no_entry() -> None:
    whole = bundle()
    other = whole[MANIFEST].replace(b'"entries":5', b'"entries":6')

    assert told(verify(Held({**whole, MANIFEST: other}))) == (
        MANIFEST,
        None,
        "it is not what its seal was made of",
    )


# -- a manifest that was made anew fits the files, but not what the chain seals -------------------


def test_other_words_need_a_new_manifest_and_are_all_that_it_can_hide() -> None:
    assert verify(bundle(readme=b"other words\n")).holds


@pytest.mark.parametrize(
    ("line", "seq", "why"),
    [
        (calendar_line(1, 2026, "2026-1", "x"), 1, "not the one that the entry seals"),
        (calendar_line(1, 2026, "2026-3", TEXTS["2026-1"]), 1, "not the one that the entry"),
        (calendar_line(3, 2026, "2026-1", TEXTS["2026-1"]), 1, "that the entry seals is missing"),
        (
            calendar_line(1, 2026, "2026-1", TEXTS["2026-1"]).replace("first", "other"),
            1,
            "the text of a calendar is not what its hash was made of",
        ),
        ("{}", 1, "a calendar that the entry seals is missing"),
    ],
)
def test_a_forged_calendar_is_found_by_the_entry_that_seals_it(
    line: str, seq: int, why: str
) -> None:
    rest = bundle()[CALENDARS].splitlines(keepends=True)[1:]
    file, found, said = told(verify(bundle(calendars=lines([line]) + b"".join(rest))))

    assert (file, found) == (CALENDARS, seq)
    assert why in said


def test_a_calendar_that_no_entry_seals_is_sealed_by_the_manifest() -> None:
    whole = bundle()
    more = whole[CALENDARS] + lines([calendar_line(None, 2027, "2027-1", "text")])

    assert verify(bundle(calendars=more)).holds
    assert not verify(Held({**whole, CALENDARS: more})).holds


@pytest.mark.parametrize(
    ("content", "seq", "why"),
    [
        (lines([rules_line(2, [RULE | {"at_least": 9}])]), 2, "rules are not those that"),
        (lines([rules_line(2, [RULE])] * 2), 2, "rules are not those that the entry seals"),
        (lines([rules_line(1, [RULE])]), 1, "rules are not those that the entry seals"),
        (b"", 2, "rules that the entry seals are missing"),
        (b"x\n", 2, "rules that the entry seals are missing"),
    ],
)
def test_forged_rules_are_found_by_the_entry_that_seals_them(
    content: bytes, seq: int, why: str
) -> None:
    file, found, said = told(verify(bundle(rules=content)))

    assert (file, found) == (RULES, seq)
    assert why in said


def test_rules_of_the_settings_that_were_never_in_force_are_sealed_by_the_manifest() -> None:
    more = bundle()[RULES] + lines([rules_line(None, [])])

    assert verify(bundle(rules=more)).holds


@pytest.mark.parametrize(
    ("says", "file", "seq"),
    [
        ({"entries": 9}, ENTRIES, 6),
        ({"entries": 2}, MANIFEST, None),
        ({"entries": "5"}, MANIFEST, None),
        ({"head": "f" * 64}, MANIFEST, None),
        ({"kinds": {}}, MANIFEST, None),
        ({"last_at": 51}, MANIFEST, None),
    ],
)
def test_a_manifest_that_says_other_things_of_the_chain_is_found(
    says: dict[str, object], file: str, seq: int | None
) -> None:
    whole = bundle()
    contents = {name: whole[name] for name in FILES}
    right = json.loads(whole[MANIFEST])["chain"]

    assert told(verify(sealed(contents, right | says)))[:2] == (file, seq)


def test_a_manifest_that_is_none_is_found() -> None:
    assert told(verify(Held({**bundle(), MANIFEST: b"{}"}))) == (
        MANIFEST,
        None,
        "it is not spelled as it was written",
    )


def test_a_bundle_of_another_form_is_not_judged() -> None:
    whole = bundle()
    said: dict[str, Any] = json.loads(whole[MANIFEST])
    del said["seal"]
    said["format"] = "facetally-audit-bundle-9"
    made = canonical(said | {"seal": hashlib.sha256(canonical(said).encode()).hexdigest()})

    assert told(verify(Held({**whole, MANIFEST: lines([made])}))) == (
        MANIFEST,
        None,
        "it is not of the form facetally-audit-bundle-1: use another facetally",
    )


def test_an_entry_that_seals_nothing_readable_is_passed_over() -> None:
    entries = chain()
    entries.append(seal(6, 60, RULES_USED, None, "no json", entries[-1].hash))
    entries.append(seal(7, 70, CALENDAR_USED, None, "[]", entries[-1].hash))

    assert told(verify(bundle(entries)))[:2] == (RULES, 6)


def test_a_line_without_an_end_takes_no_more_memory_than_the_longest_of_ours() -> None:
    endless = b"x" * (LONGEST_LINE + 5)
    verdict = verify(bundle(log=endless))

    assert told(verdict) == (ENTRIES, 1, "it is no JSON")


# -- dates ---------------------------------------------------------------------------------------


BY_WHAT = "by the calendars and rules that the log seals"


def dated(due_day: str) -> Held:
    """Return a bundle in which a duty of 2026-01-15 ends on *due_day*, sealed all the same."""
    sheets = read_sheets()
    duty: dict[str, object] = {
        "rule": "frt.file",
        "key": "1",
        "trigger_day": "2026-01-15",
        "due_day": due_day,
        "due_between": None,
        "calendar_version": "2025-1+2026-1",
        "proof": {},
    }
    rules = [{"id": "frt.file", "at_least": 100_000, "period": 30}]
    bodies: list[tuple[str, Mapping[str, object]]] = [
        *((CALENDAR_USED, {**sealing(one.text), "year": one.year.year}) for one in sheets),
        (RULES_USED, {"rules": rules}),
        ("duty.opened", duty),
    ]
    entries, summary = chain(bodies), Summary()
    for entry in entries:
        summary.follow(entry)
    texts = [
        calendar_line(n, 2024 + n, f"{2024 + n}-1", one.text) for n, one in enumerate(sheets, 1)
    ]
    contents = {README: b"words\n", CALENDARS: lines(texts), ENTRIES: lines(map(line_of, entries))}
    return sealed(contents | {RULES: lines([rules_line(3, rules)])}, summary.as_json())


def sealing(text: str) -> dict[str, object]:
    year = parse_year("any", text, any_name=True)
    return {"version": year.version, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def test_the_last_day_of_a_duty_is_counted_again_by_what_the_bundle_seals() -> None:
    good = verify(dated("2026-03-04"))

    assert (good.holds, good.days) == (True, 1)
    assert told(verify(dated("2026-03-05"))) == (
        ENTRIES,
        4,
        f"frt.file of 2026-01-15 does not end on 2026-03-05 {BY_WHAT}",
    )


def test_of_a_bundle_that_was_damaged_no_day_is_judged() -> None:
    one = dated("2026-03-05")
    one[README] = b"other words\n"

    assert [found.file for found in verify(one).broken] == [README]


# -- checkpoints ---------------------------------------------------------------------------------


def checkpoint(seq: int, entries: list[Entry], at: int = EXPORTED_AT) -> Checkpoint:
    return Checkpoint(seq=seq, hash=entries[seq - 1].hash if seq else GENESIS, at=at)


def remade() -> list[Entry]:
    """Return a log that was made anew, consistent in itself, with one body changed."""
    bodies = list(BODIES)
    bodies[2] = ("duty.opened", {"due_day": "2027-06-30", "individuals": 100_000})
    return chain(bodies)


def test_a_log_that_was_made_anew_is_found_by_a_checkpoint_alone() -> None:
    forged = bundle(remade())

    assert verify(forged).holds
    assert told(verify(forged, [checkpoint(4, chain())])) == (
        ENTRIES,
        4,
        "entry 4 is another than the checkpoint says",
    )


def test_a_bundle_goes_through_every_checkpoint_that_was_kept() -> None:
    kept = [checkpoint(seq, chain()) for seq in (0, 2, 2, 5)]
    verdict = verify(bundle(), kept)

    assert (verdict.holds, verdict.checkpoints) == (True, 4)


def test_a_log_that_was_cut_off_and_sealed_again_is_found_by_a_checkpoint() -> None:
    kept = [checkpoint(2, chain()), checkpoint(5, chain())]

    assert told(verify(bundle(chain()[:3]), kept)) == (
        ENTRIES,
        4,
        "entry 4 is missing: there were 5 before this was exported",
    )


def test_a_bundle_that_is_older_than_the_newest_checkpoint_lacks_only_what_is_younger() -> None:
    kept = [checkpoint(2, chain()), checkpoint(5, chain(), at=EXPORTED_AT + 1)]
    verdict = verify(bundle(chain()[:3]), kept)

    assert (verdict.holds, verdict.checkpoints, verdict.younger) == (True, 1, 1)


def test_checkpoints_that_compare_with_nothing_prove_nothing() -> None:
    kept = [checkpoint(5, chain(), at=EXPORTED_AT + 1)]

    assert told(verify(bundle(chain()[:3]), kept))[2].startswith("no checkpoint is of an entry")


def test_without_a_manifest_a_later_checkpoint_counts_against_the_bundle() -> None:
    whole = bundle(chain()[:3])
    del whole[MANIFEST]
    verdict = verify(whole, [checkpoint(5, chain(), at=EXPORTED_AT + 1)])

    assert told(verdict)[:2] == (ENTRIES, 4)


def test_a_checkpoint_of_an_empty_log_has_no_hash() -> None:
    wrong = replace(checkpoint(0, []), hash="f" * 64)

    assert told(verify(bundle(), [wrong]))[:2] == (ENTRIES, 1)
