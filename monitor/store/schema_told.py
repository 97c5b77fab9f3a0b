"""The tables of what is told: notices, how far each got on each channel, and who answers for it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, Text, UniqueConstraint

from monitor.store.schema_kit import Serial
from monitor.store.schema_kit import key as _key
from monitor.store.schema_kit import keyed as _keyed
from monitor.store.schema_kit import may as _may
from monitor.store.schema_kit import must as _must
from monitor.store.schema_kit import part as _part
from monitor.store.schema_kit import table as _table

notices = _table(
    "notices",
    Column("id", Serial, primary_key=True),
    _must("key", Text),
    _must("kind", Text),
    _must("severity", Text),
    _may("processor", Text),
    _may("rule", Text),
    _may("duty", Text),
    _must("created_at", BigInteger),
    _must("body", Text),
    _may("channel", Text),  # the only one that is owed it; null: all
    UniqueConstraint("key"),
)
deliveries = _keyed(
    "deliveries",
    _key("notice_id", BigInteger),
    _key("channel", Text),
    _must("attempts", Integer),
    _must("not_before", BigInteger),
    _may("claimed_at", BigInteger),  # by the clock that gave `not_before`
    _may("sent_at", BigInteger),
    _may("answer", Text),
    _may("error", Text),
    _may("skipped_at", BigInteger),  # it is not for this channel, or muted: not delivered
    _may("skipped", Text),  # why
    _may("silence", BigInteger),  # which
    # What is due, without wading through what was sent in all the years before.
    _part(
        "ix_deliveries_unsent",
        "channel",
        "not_before",
        where="sent_at IS NULL AND skipped_at IS NULL",
    ),
    # What was told lately, likewise.
    _part("ix_deliveries_sent", "channel", "sent_at", where="sent_at IS NOT NULL"),
)
channels = _keyed(
    "channels",
    _key("channel", Text),
    _must("known_since", BigInteger),
    _must("active", Boolean),
    _may("away_since", BigInteger),  # it left the settings then; null: it has not, or is back
    _may("failing_since", BigInteger),  # the first failure since it last delivered
)
pages = _keyed(
    "pages",  # that are escalated until somebody acknowledges them
    _key("notice_id", BigInteger),
    _must("since", BigInteger),  # its age counts from then; moves back if it was a clock ahead
)
pages_over = _keyed(
    "pages_over",  # append-only; a newer page tells that their duty is owed again, or due earlier
    _key("notice_id", BigInteger),
    _must("at", BigInteger),
)
acknowledgements = _keyed(
    "acknowledgements",  # append-only
    _key("notice_id", BigInteger),
    _must("at", BigInteger),
    _must("by", Text),
    _must("how", Text),  # `command` or `webhook`
    _may("reason", Text),
)
silences = _table(
    "silences",
    Column("id", Serial, primary_key=True),
    _must("made_at", BigInteger),
    _must("until", BigInteger),
    _must("by", Text),
    _must("reason", Text),
    _may("processor", Text),  # null: any
    _may("rule", Text),
    _may("kind", Text),
    _may("severity", Text),
    _may("ended_at", BigInteger),
    _may("ended_by", Text),  # null: it ran out
)
