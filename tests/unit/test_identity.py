"""Hashes that cannot be confused, guessed without the secret, or traced to an id by an error."""

from __future__ import annotations

from itertools import combinations

import pytest

from monitor.facts import UNNAMED
from monitor.identity import BadSecret, Identity

SECRET = "0123456789abcdef" * 4
OTHER = "f" * 64
PLAIN = Identity(SECRET)
NAMESPACES = {
    ("acme", "lab"): "lab",
    ("acme", "visitors"): "shared/city",
    ("beta", "visitors"): "shared/city",
    ("beta", "club"): "shared/club",
    ("acme", "explicit"): "default",
}
GROUP = Identity(SECRET, NAMESPACES)


def test_a_hash_has_16_bytes_and_shows_nothing_of_the_id() -> None:
    subject = PLAIN.subject("acme", "gate", "Z-1234567")

    assert len(subject) == 16
    assert b"1234" not in subject


def test_a_processor_has_one_namespace_for_all_its_systems() -> None:
    found = {PLAIN.subject("acme", system, "7") for system in ("gate", "pay", None)}

    assert len(found) == 1


def test_namespaces_are_private_to_their_processor_and_default_too() -> None:
    assert GROUP.subject("acme", "gate", "7") != GROUP.subject("beta", "gate", "7")
    assert GROUP.subject_in("acme", "lab", "7") != GROUP.subject_in("beta", "lab", "7")


def test_a_system_may_be_given_its_own_namespace() -> None:
    assert GROUP.namespace("acme", "lab") == "lab"
    assert GROUP.subject("acme", "lab", "7") != GROUP.subject("acme", "gate", "7")
    assert GROUP.subject("acme", "lab", "7") == GROUP.subject_in("acme", "lab", "7")


def test_the_namespace_of_a_system_is_not_that_of_its_namesake_elsewhere() -> None:
    assert GROUP.namespace("beta", "lab") == "default"


def test_naming_the_default_namespace_says_nothing_new() -> None:
    assert GROUP.subject("acme", "explicit", "7") == GROUP.subject("acme", None, "7")


def test_shared_namespaces_are_common_to_the_processors_of_a_group() -> None:
    assert GROUP.subject("acme", "visitors", "7") == GROUP.subject("beta", "visitors", "7")


def test_two_shared_namespaces_are_two() -> None:
    assert GROUP.subject("beta", "club", "7") != GROUP.subject("beta", "visitors", "7")


@pytest.mark.parametrize("name", ["shared", "Shared/city", "sharedcity", " shared/city"])
def test_only_names_that_begin_with_shared_and_a_slash_are_common(name: str) -> None:
    assert PLAIN.subject_in("acme", name, "7") != PLAIN.subject_in("beta", name, "7")


def test_no_two_lists_of_parts_share_an_input() -> None:
    found = [
        PLAIN.subject_in("ab", "c", "d"),
        PLAIN.subject_in("a", "bc", "d"),
        PLAIN.subject_in("a", "b", "cd"),
        PLAIN.subject_in("", "ab", "cd"),
        PLAIN.subject_in("ab", "cd", ""),
        PLAIN.subject_in("acme", "shared/x", "d"),
        PLAIN.subject_in("shared", "x", "d"),
        PLAIN.subject_in("a\x00b", "c", "d"),
        PLAIN.subject_in("a", "b\x00c", "d"),
        PLAIN.face("ab", "cd"),
        PLAIN.face("abc", "d"),
        PLAIN.face("private", "ab"),
        PLAIN.face("shared/x", "d"),
    ]

    assert all(one != other for one, other in combinations(found, 2))


def test_ids_are_taken_as_they_are() -> None:
    ids = ["00123", "123", "0123", "123 ", "１２３", "张伟", "張偉", "ann", "Ann"]

    assert len({PLAIN.subject("acme", "gate", name) for name in ids}) == len(ids)


def test_hashing_again_gives_the_same() -> None:
    again = Identity(SECRET)

    assert again.subject("acme", "gate", "7") == PLAIN.subject("acme", "gate", "7")
    assert PLAIN.subject("acme", "gate", "7") == PLAIN.subject("acme", "gate", "7")


def test_a_face_id_belongs_to_its_store() -> None:
    assert PLAIN.face("gate", "7") != PLAIN.face("pay", "7")
    assert PLAIN.face("gate", "7") == GROUP.face("gate", "7")


@pytest.mark.parametrize("face", ["", None])
def test_an_absent_or_empty_face_is_the_unnamed_slot(face: str | None) -> None:
    assert PLAIN.face("gate", face) == UNNAMED


def test_another_secret_gives_other_hashes() -> None:
    other = Identity(OTHER)

    assert other.subject("acme", "gate", "7") != PLAIN.subject("acme", "gate", "7")
    assert other.face("gate", "7") != PLAIN.face("gate", "7")


def test_the_fingerprint_tells_two_secrets_apart_and_shows_neither() -> None:
    assert Identity(OTHER).fingerprint != PLAIN.fingerprint == GROUP.fingerprint
    assert not any(SECRET[i : i + 8] in PLAIN.fingerprint for i in range(16))


def test_the_fingerprint_is_no_hash_of_an_id() -> None:
    assert bytes.fromhex(PLAIN.fingerprint) not in {
        PLAIN.subject_in("fingerprint", "", ""),
        PLAIN.face("fingerprint", "x"),
    }


def test_a_secret_is_read_whatever_its_case_and_the_newline_of_its_file() -> None:
    assert Identity(f"{SECRET.upper()}\n").fingerprint == PLAIN.fingerprint


@pytest.mark.parametrize(
    "secret",
    ["", "hunter2", SECRET[:-1], SECRET[:-2], SECRET + "00", "g" * 64, "é" * 64, "0x" + SECRET],
)
def test_a_bad_secret_is_refused_and_never_quoted(secret: str) -> None:
    with pytest.raises(BadSecret) as caught:
        Identity(secret)
    told = str(caught.value)

    assert told == "the secret must be 64 hexadecimal digits"
    assert caught.value.__context__ is None


def test_more_names_than_are_remembered_give_the_same_hashes() -> None:
    identity = Identity(SECRET)
    first = identity.face("store-0", "7"), identity.subject("p-0", "gate", "7")
    for number in range(65_540):
        identity.face(f"store-{number}", "7")
        identity.subject(f"p-{number}", "gate", "7")

    assert (identity.face("store-0", "7"), identity.subject("p-0", "gate", "7")) == first
