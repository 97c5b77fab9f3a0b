from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notices import Kind, Notice, OpenDuty, Severity, body_from, body_text, key_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
BODIES = st.dictionaries(NAMES, TEXT | st.integers() | st.booleans() | st.none(), max_size=6)


def notice(**changes: object) -> Notice:
    values = {
        "key": "gap:1",
        "kind": Kind.GAP,
        "severity": Severity.PAGE,
        "created_at": 0,
        **changes,
    }
    return Notice(**values)  # type: ignore[arg-type]  # wrong values are the point


@given(st.lists(TEXT, max_size=4))
def test_a_key_fits_a_notice_whatever_it_is_made_from(parts: list[str]) -> None:
    assert notice(key=key_of(Kind.TEST, *parts)).key == key_of(Kind.TEST, *parts)


@given(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=3))
def test_keys_are_equal_only_for_equal_parts(one: list[str], other: list[str]) -> None:
    equal = key_of(Kind.GAP, *one) == key_of(Kind.GAP, *other)

    assert equal == (one == other)


def test_a_key_is_the_same_for_ever() -> None:
    key = key_of(Kind.DUTY_OPENED, "acme", "frt.file", "2026-03-02")

    assert key == "duty_opened:16f1be8325671395de74beb8a62d50fb"


@given(BODIES)
def test_a_body_survives_the_way_through_a_text_column(body: dict[str, str | int | None]) -> None:
    kept = body_from(body_text(notice(body=body).body))

    assert kept == body
    assert {name: type(value) for name, value in kept.items()} == {
        name: type(value) for name, value in body.items()
    }


@pytest.mark.parametrize("text", ["[]", "1", "{", '{"A": 1}', '{"a": 1.5}', '{"a": [1]}'])
def test_a_text_that_is_no_body_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        body_from(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        # It would end the id in the signed text of a webhook.
        {"key": "a.b"},
        # It would end the header.
        {"key": "a\r\nb"},
        {"key": "名"},
        {"key": "a" * 201},
        {"processor": "\ud800"},
        {"body": {"topic": "\ud800"}},
        {"body": {"Topic": "a"}},
        {"body": {"share": 0.5}},
        {"body": {"days": ["a"]}},
    ],
)
def test_what_no_channel_could_carry_is_no_notice(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"notice|body"):
        notice(**wrong)


def test_the_body_of_a_notice_does_not_change_with_what_it_was_made_from() -> None:
    facts = {"individuals": 100_000}
    made = notice(body=facts)
    opened = OpenDuty(processor="acme", rule="frt.file", duty="d", opened_at=0, body=facts)
    facts["individuals"] = 1

    assert (made.body, opened.body) == ({"individuals": 100_000}, {"individuals": 100_000})
