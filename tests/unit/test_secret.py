"""The secret of a database: made once, whatever happens to who makes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.secret import secret_for
from monitor.identity import BadSecret
from monitor.store.database import WrongDatabase

SHORT = "5e" * 31


def test_a_new_one_is_made_for_its_owner_alone_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "secret"
    secret, made = secret_for(file, None, {})

    assert (len(secret), made) == (64, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret_for(file, None, {}) == (secret, False)


def test_a_file_that_a_killed_process_left_empty_is_filled(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(0o644)
    secret, made = secret_for(file, None, {})

    assert (file.read_text(), made) == (f"{secret}\n", True)
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_no_secret_for_a_database_that_was_used_with_one(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch()
    with pytest.raises(BadSecret):
        secret_for(file, "fingerprint", {})
    file.unlink()
    with pytest.raises(WrongDatabase):
        secret_for(file, "fingerprint", {})

    assert not file.exists()


def test_what_is_no_secret_and_not_empty_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SHORT)
    with pytest.raises(BadSecret):
        secret_for(file, None, {})

    assert file.read_text() == SHORT


def test_a_bad_secret_in_the_environment_makes_none(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(BadSecret):
        secret_for(file, None, {"FACETALLY_SECRET": SHORT})

    assert not file.exists()


def test_of_many_who_make_it_at_once_all_have_the_same(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: secret_for(file, None, {}), range(40)))

    assert len({secret for secret, _ in found}) == 1
    assert sum(made for _, made in found) == 1
