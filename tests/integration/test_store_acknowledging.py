"""Which pages an acknowledgement is about, and what mends a channel, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, select

from monitor.facts import Instant
from monitor.notices import Kind, Notice
from monitor.store import owing, schema, tested
from monitor.store.acknowledging import Done, Said, Several, acknowledge
from monitor.store.engine import reading
from monitor.store.outbox import SqlOutbox
from monitor.store.tested import Tried
from tests.integration.store_kit import NOW, SECOND
from tests.outbox_contract import notice

RULE = "acme 第一/frt.file"


def put(engine: Engine, *pages: tuple[str, str, Instant]) -> list[Notice]:
    """Write pages: name, duty and when each was written."""
    made = [notice(name, at=at, duty=duty, kind=Kind.DUTY_OPENED) for name, duty, at in pages]
    for one in made:
        with engine.begin() as connection:
            owing.notify(connection, one)
    return made


def ack(engine: Engine, what: str, until: Instant | None = None) -> Done | None:
    return acknowledge(engine, Said(what=what, by="ann", how="webhook", until=until), NOW)


def test_a_page_that_came_after_the_signature_is_nobodys(engine: Engine) -> None:
    first, later = put(engine, ("a", "1", NOW), ("b", "1", NOW + SECOND))
    done = ack(engine, f"{RULE}/1", NOW + SECOND)

    assert done == Done(now=(first.key,), before=())
    assert ack(engine, f"{RULE}/1") == Done(now=(later.key,), before=(first.key,))


def test_of_a_duty_without_a_page_from_before_there_is_nothing(engine: Engine) -> None:
    put(engine, ("a", "1", NOW))

    assert ack(engine, RULE, NOW) is None
    assert ack(engine, f"{RULE}/1", NOW) is None


def test_a_page_named_by_its_key_is_meant_whenever_it_was_written(engine: Engine) -> None:
    [page] = put(engine, ("a", "1", NOW))

    assert ack(engine, page.key, NOW - SECOND) == Done(now=(page.key,), before=())


def test_a_rule_with_open_pages_of_several_duties_names_none_of_them(engine: Engine) -> None:
    pages = put(engine, ("a", "1", NOW), ("b", "2", NOW))
    with pytest.raises(Several) as caught:
        ack(engine, RULE)
    with reading(engine) as connection:
        kept = connection.execute(select(schema.acknowledgements)).all()

    assert caught.value.names == [f"{RULE}/1", f"{RULE}/2"]
    assert kept == []
    assert ack(engine, f"{RULE}/2") == Done(now=(pages[1].key,), before=())


def failing_since(engine: Engine) -> dict[str, Instant | None]:
    held = schema.channels.c
    with reading(engine) as connection:
        rows = connection.execute(select(held.channel, held.failing_since)).all()
    return {row.channel: row.failing_since for row in rows}


def test_a_test_that_was_delivered_says_that_the_channel_works_again(engine: Engine) -> None:
    outbox = SqlOutbox(engine)
    outbox.ensure(["ann", "bob"], NOW)
    put(engine, ("a", "1", NOW))
    for channel in ("ann", "bob"):
        claim = outbox.claim(channel, NOW, SECOND)
        assert claim is not None
        outbox.failed(claim, NOW + SECOND, "no answer in time")
    before = failing_since(engine)
    tried = [
        Tried("ann", delivered=True, answer="200"),
        Tried("bob", delivered=False, answer="no connection"),
    ]
    tested.note(engine, "test:1", tried, "night shift", NOW + SECOND)

    assert before == {"ann": NOW, "bob": NOW}
    assert failing_since(engine) == {"ann": None, "bob": NOW}
