"""``facetally audit``: what an auditor gets, and that nothing can be changed in it unseen."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bundles import check
from deploy.exporting import Product, export
from monitor.bundle import FILES, MANIFEST
from monitor.calendars import read_sheets
from monitor.store.engine import open_engine
from tests.conftest import REPOSITORY
from tests.homes import SECRET, Answer, Home, event, ready
from tests.integration.test_store_calendars import sheet

AT_TWO = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
EVENTS = [event("ann"), event("bob"), event("cy", processor="beta")]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A database with calendars, rules and a duty in its log."""
    made = ready(tmp_path_factory.mktemp("used"), AT_TWO)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return made


@pytest.fixture(scope="module")
def exported(used: Home) -> Path:
    """Its bundle, a folder; tests that change it take a copy."""
    used.good("audit", "export", used.path / "bundle")
    return used.path / "bundle"


@pytest.fixture
def bare(tmp_path: Path) -> Home:
    """An auditor's machine: no settings, no database, no secret."""
    return Home(tmp_path / "auditor", secret=None)


def verified(path: Path, *words: str | Path) -> Answer:
    """Verify without settings: those that are named do not exist."""
    nothing = Home(path.parent / "nowhere", secret=None)
    return nothing.run("audit", "verify", path, *words)


def test_a_bundle_holds_where_there_is_neither_settings_nor_database_nor_secret(
    exported: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(exported, alone)
    (tmp_path / "auditor").mkdir()
    answer = Home(tmp_path / "auditor", secret=None).program("audit", "verify", alone)

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"ok    {alone}: 4 entries, head ")


def test_the_bundle_has_all_that_made_the_days_and_no_secret_or_person(exported: Path) -> None:
    assert sorted(one.name for one in exported.iterdir()) == sorted([MANIFEST, *FILES])
    entries = [json.loads(line) for line in _lines(exported / "entries.ndjson")]
    calendars = [json.loads(line) for line in _lines(exported / "calendars.ndjson")]
    (rules,) = (json.loads(line) for line in _lines(exported / "rules.ndjson"))
    manifest = json.loads((exported / MANIFEST).read_text())
    everything = b"".join(one.read_bytes() for one in exported.iterdir())

    kinds = ["calendar.used", "calendar.used", "rules.used", "duty.opened"]
    assert [one["kind"] for one in entries] == kinds
    assert [(one["seq"], one["version"]) for one in calendars] == [(1, "2025-1"), (2, "2026-1")]
    shipped = REPOSITORY / "monitor" / "calendars" / "2026.toml"
    assert calendars[1]["text"] == shipped.read_text("utf-8")
    assert (rules["seq"], rules["rules"][0]["at_least"]) == (3, 2)
    assert manifest["chain"]["head"] == entries[-1]["hash"]
    assert manifest["product"].startswith("facetally ")
    assert manifest["retention_years"] == 3
    for secret in (SECRET.encode(), b"ann", b"bob", b"sqlite:"):
        assert secret not in everything.replace(b"annulled", b"").replace(b"announcement", b"")


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", ["bundle-2", "bundle.tar", "bundle-3.TAR"])
def test_an_export_writes_its_path_and_nothing_beside_it(used: Home, name: str) -> None:
    place = used.path / f"for-{name}"
    place.mkdir()
    used.good("audit", "export", place / name)

    assert [one.name for one in place.iterdir()] == [name]
    assert (place / name).is_file() is name.lower().endswith(".tar")
    assert verified(place / name).code == 0


def test_an_export_as_one_file_is_a_tar_with_the_same_files(used: Home, exported: Path) -> None:
    place = used.path / "as-one"
    place.mkdir()
    used.good("audit", "export", place / "b.tar")
    (place / "out").mkdir()
    subprocess.run(["tar", "-xf", place / "b.tar", "-C", place / "out"], check=True)

    assert verified(place / "out").code == 0
    for name in FILES:
        assert (place / "out" / name).read_bytes() == (exported / name).read_bytes()


def test_an_export_overwrites_nothing(used: Home, exported: Path) -> None:
    file = used.path / "full.tar"
    file.write_text("mine")
    for path in (exported, file):
        answer = used.run("audit", "export", path)

        assert (answer.code, answer.out) == (2, "")
        assert f"{path} is there and not empty" in answer.err
    assert file.read_text() == "mine"
    assert verified(exported).code == 0


def test_an_export_fills_an_empty_folder_or_file(used: Home) -> None:
    folder, file = used.path / "empty", used.path / "empty-file"
    folder.mkdir()
    file.touch()
    for path in (folder, file):
        used.good("audit", "export", path)

        assert verified(path).code == 0
    assert file.is_file()


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_an_export_into_a_folder_that_is_not_there_leaves_nothing(used: Home, name: str) -> None:
    answer = used.run("audit", "export", used.path / "absent" / name)

    assert (answer.code, answer.out) == (2, "")
    assert "No such file or directory" in answer.err
    assert not (used.path / "absent").exists()


@pytest.mark.parametrize("name", ["bundle", "bundle.tar", "empty", "empty-file"])
def test_an_export_that_fails_in_the_middle_leaves_what_there_was(
    used: Home, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty-file").touch()
    before = sorted(tmp_path.rglob("*"))
    no_json: list[object] = [object()]  # met with when entries and calendars are written
    product = Product(version="1", sheets=read_sheets(), rules=no_json, retention_years=3)
    engine = open_engine(f"sqlite:///{used.database}")
    with pytest.raises(TypeError, match="not JSON serializable"):
        export(engine, tmp_path / name, product, 1)
    engine.dispose()

    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "empty-file").stat().st_size == 0


# -- tampering -----------------------------------------------------------------------------------


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "copied")
    return tmp_path / "copied"


@pytest.mark.parametrize(
    ("line", "said"),
    [(1, "entry 1"), (3, "entry 3"), (4, "entry 4")],
)
def test_the_first_broken_link_is_named_with_its_number(copied: Path, line: int, said: str) -> None:
    file = copied / "entries.ndjson"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"kind":"', b'"kind":"x')
    file.write_bytes(b"".join(lines))
    answer = verified(copied)

    assert answer.code == 1
    assert f"WRONG {copied}: first broken link: {said} (entries.ndjson):" in answer.out
    assert verified(copied, "--json").json()["first_broken"] == line


def test_a_file_that_was_added_linked_or_made_a_folder_is_found(copied: Path) -> None:
    (copied / "notes.txt").write_text("x")
    assert "notes.txt" in verified(copied).out
    (copied / "notes.txt").unlink()
    (copied / "more").mkdir()
    assert "no plain file" in verified(copied).out
    (copied / "more").rmdir()
    (copied / "README.txt").rename(copied.parent / "README.txt")
    (copied / "README.txt").symlink_to(copied.parent / "README.txt")
    assert verified(copied).code == 1


def test_the_name_of_a_file_that_was_added_is_shown_without_control_characters(
    copied: Path,
) -> None:
    (copied / "a\x1b[2J\nok").write_text("x")
    answer = verified(copied)

    assert answer.code == 1
    assert "\x1b" not in answer.out


def test_what_is_no_bundle_is_misuse_and_what_was_one_is_wrong(tmp_path: Path) -> None:
    absent = verified(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    (tmp_path / "some.tar").write_bytes(b"not a tar")

    assert (absent.code, "there is no bundle at" in absent.err) == (2, True)
    assert verified(tmp_path / "empty").code == 1
    assert "cut off or changed at byte 0" in verified(tmp_path / "some.tar").out


# -- checkpoints ---------------------------------------------------------------------------------


def test_a_log_made_anew_is_found_by_a_checkpoint_that_was_kept_elsewhere(tmp_path: Path) -> None:
    made = ready(tmp_path / "one", AT_TWO)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    made.good("audit", "checkpoint", tmp_path / "kept")
    made.good("audit", "checkpoint", tmp_path / "kept")
    made.good("audit", "export", tmp_path / "true")
    other = ready(tmp_path / "other", AT_TWO)
    other.good("apply", other.write("events.ndjson", EVENTS), "--source", "cloudevents")
    other.good("audit", "export", tmp_path / "forged")

    assert verified(tmp_path / "true", "--checkpoint", tmp_path / "kept").code == 0
    assert made.run("audit", "verify", "--checkpoint", str(tmp_path / "kept")).code == 0
    assert verified(tmp_path / "forged").code == 0
    for answer in (
        verified(tmp_path / "forged", "--checkpoint", tmp_path / "kept"),
        other.run("audit", "verify", "--checkpoint", str(tmp_path / "kept")),
    ):
        assert answer.code == 1
        assert "entry 4 is another than the checkpoint says" in answer.out


def test_a_checkpoint_is_one_line_of_json_that_is_added_to_a_file(used: Home) -> None:
    file = used.path / "checkpoints"
    shown = used.good("audit", "checkpoint").out
    for _ in range(2):
        used.good("audit", "checkpoint", file)
    lines = [json.loads(line) for line in _lines(file)]

    assert json.loads(shown)["seq"] == lines[0]["seq"] == lines[1]["seq"] == 4
    assert lines[0]["at"] <= lines[1]["at"]
    assert lines[0]["hash"] == json.loads(shown)["hash"]


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"seq":1}\n', "line 1: it does not have just seq, hash, at"), ("", "no checkpoint in it")],
)
def test_a_file_that_holds_no_checkpoints_is_misuse(
    exported: Path, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "kept").write_text(content)
    answer = verified(exported, "--checkpoint", tmp_path / "kept")

    assert answer.code == 2
    assert said in answer.err


# -- the database --------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The database of ``tmp_path / "home"``, for somebody who takes the guards away."""
    made = ready(tmp_path / "home", AT_TWO)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    connection = sqlite3.connect(made.database, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        if name.startswith("facetally_keep_audit"):
            connection.execute(f"DROP TRIGGER {name}")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit SET body = '{}' WHERE seq = 2", "entry 2"),
        ("DELETE FROM audit WHERE seq = 3", "entry 3"),
        ("DELETE FROM audit WHERE seq = 4", "entry 4"),
        ("UPDATE audit_head SET hash = 'x'", "entry 5"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", "entry 1"),
        ("SELECT 1", "no entry, but (audit): the database no longer refuses changes"),
    ],
)
def test_what_was_changed_in_the_database_is_found(
    damaged: sqlite3.Connection, tmp_path: Path, statement: str, said: str
) -> None:
    damaged.execute(statement)
    answer = Home(tmp_path / "home").run("audit", "verify")

    assert (answer.code, said in answer.out) == (1, True), answer


def test_what_is_left_to_another_command_is_said(used: Home, exported: Path) -> None:
    elsewhere = "duties, steps, changes and notices are compared with the log by: facetally verify"

    assert used.good("audit", "verify").out.splitlines()[-1] == elsewhere
    assert elsewhere not in verified(exported).out


def test_a_broken_log_is_exported_as_it_is_and_said_to_be_broken(
    damaged: sqlite3.Connection, tmp_path: Path
) -> None:
    damaged.execute("UPDATE audit SET body = '{}' WHERE seq = 3")
    answer = Home(tmp_path / "home").run("audit", "export", tmp_path / "bundle")
    checked = verified(tmp_path / "bundle")

    assert (answer.code, "broken at entry 3" in answer.err) == (1, True)
    assert (checked.code, "first broken link: entry 3" in checked.out) == (1, True)


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_an_export_of_a_calendar_that_was_changed_says_that_it_seals_nothing(
    damaged: sqlite3.Connection, tmp_path: Path, name: str
) -> None:
    home = Home(tmp_path / "home")
    year = home.write("2027.toml", sheet().text.splitlines())
    home.good("calendar", "load", year, "--by", "office")
    damaged.execute("DROP TRIGGER facetally_keep_calendars_update")
    damaged.execute("UPDATE calendars SET text = replace(text, '2027-01-03', '2027-01-04')")
    answer = home.run("audit", "export", tmp_path / name, "--json")

    assert answer.code == 1
    assert "calendars: the text of 2027, 2027-1, is not what was sealed" in answer.json()["wrong"]
    assert any(why.startswith("calendars.ndjson: ") for why in answer.json()["wrong"])
    assert "WRONG: calendars: the text of 2027" in answer.err
    assert verified(tmp_path / name).code == 1


def test_a_calendar_in_the_database_that_cannot_even_be_read_is_found(
    damaged: sqlite3.Connection, tmp_path: Path
) -> None:
    damaged.execute("DROP TRIGGER facetally_keep_calendars_update")
    damaged.execute("UPDATE calendars SET text = 'no calendar' WHERE year = 2026")
    answer = Home(tmp_path / "home").run("audit", "verify", "--json")
    wrong = {(one["file"], one["why"]) for one in answer.json()["broken"]}

    assert answer.code == 1
    assert ("calendars", "the text of 2026, 2026-1, is not what was sealed") in wrong


def test_an_export_of_a_log_that_was_cut_off_says_so(
    damaged: sqlite3.Connection, tmp_path: Path
) -> None:
    """The head was set back, too: only the rows that are left tell."""
    for statement in (
        "DELETE FROM audit WHERE seq >= 2",
        "UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM audit)",
    ):
        damaged.execute(statement)
    answer = Home(tmp_path / "home").run("audit", "export", tmp_path / "bundle")

    assert answer.code == 1
    assert "WRONG: calendars: 1 rows that no entry of the audit log speaks of" in answer.err


def test_what_was_counted_again_and_what_was_not_compared_is_said(
    used: Home, exported: Path, tmp_path: Path
) -> None:
    used.good("audit", "checkpoint", tmp_path / "kept")
    (line,) = _lines(tmp_path / "kept")
    later = json.loads(line) | {"seq": 9, "at": json.loads(line)["at"] + 1}
    spelled = json.dumps(later, sort_keys=True, separators=(",", ":"))
    (tmp_path / "kept").write_text(f"{line}\n{spelled}\n")
    shown = verified(exported, "--checkpoint", tmp_path / "kept")
    told = verified(exported, "--checkpoint", tmp_path / "kept", "--json").json()

    assert shown.code == 0
    assert ", 1 last days counted again, through 1 of 2 checkpoints; 1 younger" in shown.out
    assert (told["checkpoints"], told["checkpoints_younger"], told["days_recounted"]) == (1, 1, 1)


def test_the_tail_shows_the_newest_entries_last(used: Home) -> None:
    shown = used.good("audit", "tail", "-n", "2").out.splitlines()
    told = [json.loads(line) for line in used.good("audit", "tail", "--json").out.splitlines()]

    assert [line.split()[:3:2] for line in shown] == [["3", "rules.used"], ["4", "duty.opened"]]
    assert [one["seq"] for one in told] == [1, 2, 3, 4]
    assert told[3]["body"]["individuals"] == 2
    assert used.good("audit", "tail", "-n", "0").out == ""


def test_the_tail_follows_what_is_added(tmp_path: Path) -> None:
    made = ready(tmp_path, AT_TWO)
    made.good("apply", made.write("one.ndjson", EVENTS[:1]), "--source", "cloudevents")
    following = made.start("audit", "tail", "--follow", "--json")
    try:
        _until(lambda: made.said().count("\n") == 3)
        made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
        _until(lambda: "duty.opened" in made.said())
    finally:
        following.stop(how=signal.SIGINT)

    told = [json.loads(line) for line in made.said().splitlines() if line.startswith("{")]

    assert [one["seq"] for one in told] == [1, 2, 3, 4]


def _until(done: object, seconds: float = 60.0) -> None:
    assert callable(done)
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("years", [0, 1, 2])
def test_a_retention_below_three_years_is_refused(tmp_path: Path, years: int) -> None:
    made = ready(tmp_path)
    made.settings.write_text(f"retention_years = {years}\n" + made.settings.read_text())
    answer = made.run("config", "check")

    assert answer.code == 2
    assert "retention_years: must be at least 3: Order No. 19 art. 9" in answer.err


def test_every_changed_or_missing_byte_of_a_bundle_in_one_file_is_found(
    used: Home, tmp_path: Path
) -> None:
    """Of the archive itself; what is within its files is the matter of ``test_bundle_bytes``."""
    used.good("audit", "export", tmp_path / "whole.tar")
    whole = (tmp_path / "whole.tar").read_bytes()
    ats = [*range(1024), *range(1024, len(whole) - 2048, 97), *range(len(whole) - 2048, len(whole))]
    flips = [(at, (1, 32, 128, 255)[at % 4]) for at in ats]
    others = [whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :] for at, flip in flips]
    others += [whole[:end] for end in range(0, len(whole), 211)]
    others += [whole[:-1], whole[:-512], whole[:-1024], whole + b"\0", whole + bytes(512)]
    others += [whole[:-1024] + whole]
    unnoticed = []
    for number, other in enumerate(others):
        (tmp_path / "other.tar").write_bytes(other)
        if check(tmp_path / "other.tar").holds:
            unnoticed.append(number)

    assert check(tmp_path / "whole.tar").holds
    assert unnoticed == []
