"""The tables. Instants are microseconds since 1970 UTC; hashes are 16 bytes, versions 24.

Registers (what is so now): ``subjects`` (one packed row per subject and processor), ``faces`` (the
owner of each named slot), ``links``, ``removals``, ``stock``. Evidence (append-only): ``book``,
``audit``. What is owed: ``reaches``, ``duties``, ``steps``, ``terminations``, ``changes``,
what is told (``schema_told``). The way in: ``moments``, ``positions``, ``topics``, ``ends``,
``feeds``, ``snapshots``, ``rejects``, ``ignored``, ``unverified``, ``files``. Told by people:
``told_numbers``, ``told_events``. For early warnings and forecasts: ``approaches``, ``days``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)

from monitor.store.schema_kit import Serial, metadata
from monitor.store.schema_kit import key as _key
from monitor.store.schema_kit import keyed as _keyed
from monitor.store.schema_kit import may as _may
from monitor.store.schema_kit import must as _must
from monitor.store.schema_kit import table as _table
from monitor.store.schema_told import (
    acknowledgements,
    channels,
    deliveries,
    notices,
    pages,
    pages_over,
    silences,
)

__all__ = [
    "acknowledgements",
    "channels",
    "deliveries",
    "metadata",
    "notices",
    "pages",
    "pages_over",
    "silences",
]

meta = _keyed("meta", _key("name", Text), _must("value", Text))

# -- names: a small number for each text that many rows repeat ---------------------------------

processors = _table(
    "processors",
    Column("id", Integer, primary_key=True),
    _must("name", Text),
    UniqueConstraint("name"),
)
places = _table(
    "places",
    Column("id", Integer, primary_key=True),
    _must("processor_id", Integer),
    _must("scope", SmallInteger),  # 0 a gallery, 1 a whole system, 2 the whole processor
    _must("system", Text),
    _must("gallery", Text),
    _must("research", Boolean),  # the mark that `stock` was counted with
    _must("namespace", Text),  # in which its subjects were hashed
    UniqueConstraint("processor_id", "scope", "system", "gallery"),
)
stores = _table(
    "stores",
    Column("id", Integer, primary_key=True),
    _must("name", Text),
    _must("ordering", SmallInteger),
    UniqueConstraint("name"),
)
tenants = _keyed("tenants", _key("store_id", Integer), _key("processor_id", Integer))

# -- registers -------------------------------------------------------------------------------

subjects = _keyed(
    "subjects",
    _key("processor_id", Integer),
    _key("subject", LargeBinary),
    _must("registers", LargeBinary),
)
faces = _keyed(
    "faces",
    _key("store_id", Integer),
    _key("face", LargeBinary),
    _may("processor_id", Integer),  # of the owner; null: the slot is empty
    _may("subject", LargeBinary),
    _must("version", LargeBinary),
    _must("at", BigInteger),
    _must("read_at", BigInteger),
)
links = _keyed(
    "links",
    _key("processor_id", Integer),
    _key("individual", LargeBinary),
    _key("subject", LargeBinary),
)
removals = _keyed(
    "removals",
    _key("kind", SmallInteger),  # 0 of a place, 1 of a store
    _key("of_id", Integer),
    _must("version", LargeBinary),
)
stock = _keyed(
    "stock",
    _key("processor_id", Integer),
    _key("kind", SmallInteger),  # 0 operation, 1 research, 2 one system
    _key("system", Text),
    _must("individuals", BigInteger),
)

# -- evidence --------------------------------------------------------------------------------

book = _table(
    "book",
    Column("id", Serial, primary_key=True),
    _must("kind", SmallInteger),
    _may("processor_id", Integer),
    _may("place_id", Integer),
    _may("store_id", Integer),
    _may("face", LargeBinary),
    _may("subject", LargeBinary),
    _may("individual", LargeBinary),
    _must("version", LargeBinary),
    _must("at", BigInteger),
    _must("read_at", BigInteger),
    _must("known_at", BigInteger),
)
audit = _table(
    "audit",
    _key("seq", BigInteger),
    _must("at", BigInteger),
    _must("kind", Text),
    _may("processor", Text),
    _must("body", Text),
    _must("previous", Text),
    _must("hash", Text),
)
audit_head = _keyed(
    "audit_head", _key("id", Integer), _must("seq", BigInteger), _must("hash", Text)
)

# -- what is owed ----------------------------------------------------------------------------

watches = _keyed(
    "watches",
    _key("processor_id", Integer),
    _must("last_at", BigInteger),  # the newest instant of any fact
    _must("peak", BigInteger),  # no less than the highest number there ever was
    _must("recount_due", Boolean),
    _may("since_first_at", BigInteger),  # oldest new fact, and how many facts that can raise the
    _must("since_raising", BigInteger),  # number, since the latest recount began
    _may("since_passed", Boolean),  # a latch that is armed anew may have been released since then
)
recounts = _keyed(
    "recounts",
    _key("processor_id", Integer),
    _may("due_since", BigInteger),  # our clock: a recount was first seen to be due
    _may("told_at", BigInteger),  # as overdue
    _may("look", Text),  # the look back that may say what it found
)
reaches = _keyed(
    "reaches",
    _key("processor_id", Integer),
    _key("rule", Text),
    _must("at_least", BigInteger),
    _must("latch", Integer),
    _may("trigger_at", BigInteger),  # null: not reached
    _may("individuals", BigInteger),
    _may("first_seen_at", BigInteger),
    _may("first_seen_no", BigInteger),  # the moment
    _may("confirmed_at", BigInteger),
    _may("paged_at", BigInteger),  # as unconfirmed
    _may("after", BigInteger),  # the latch was armed anew then: only a later reach counts
)
duties = _table(
    "duties",
    Column("id", Serial, primary_key=True),
    _must("processor_id", Integer),
    _must("rule", Text),
    _must("key", Text),
    _must("trigger_day", Date),
    _must("trigger_at", BigInteger),
    _must("not_later_than", Boolean),
    _must("opened_at", BigInteger),
    _may("due_day", Date),
    _must("earliest", Date),
    _must("latest", Date),
    _must("calendar_version", Text),
    _must("proof", Text),
    _may("closed_at", BigInteger),
    _may("annulled", Text),  # the reason, if it was closed without anything being done
    _may("asked", Text),  # which restatement waits for a person
    _may("due_at", BigInteger),  # the first instant that is too late, of a clock of hours
    UniqueConstraint("processor_id", "rule", "key"),
)
steps = _table(
    "steps",  # of filings, and decisions about duties: append-only
    Column("id", Serial, primary_key=True),
    _must("processor_id", Integer),
    _must("step", Text),  # what makes a repeat of it the same
    _must("kind", Text),
    _must("at", BigInteger),
    _must("known_at", BigInteger),
    _must("source", Text),  # `command`, or the topic
    _may("rule", Text),  # as it was told; null: any filing
    _may("duty", Text),  # likewise, the key of the duty
    _may("by", Text),
    _may("reason", Text),
    _may("reference", Text),
    _may("withdraws", Text),  # the step that it takes back
    _must("detail", Text),
    UniqueConstraint("processor_id", "step"),
)
terminations = _keyed(
    "terminations",  # every end of use that was told: one after a cancellation is a new one
    _key("processor_id", Integer),
    _key("at", BigInteger),
    _must("known_at", BigInteger),
    _must("version", Text),
)
changes = _table(
    "changes",  # candidates for a material change, and what a person decided about them
    Column("id", Serial, primary_key=True),
    _must("processor_id", Integer),
    _must("kind", Text),
    _must("what", Text),  # what makes a candidate the same one
    _must("at", BigInteger),  # since when it is so, as far as is known
    _must("proposed_at", BigInteger),
    _must("source", Text),  # `monitor`, or `command`
    _must("evidence", Text),
    _may("decided_at", BigInteger),
    _may("decision", Text),  # `confirmed` or `dismissed`
    _may("by", Text),
    _may("reason", Text),
    UniqueConstraint("processor_id", "kind", "what"),
)

# -- the way in ------------------------------------------------------------------------------

moments = _keyed("moments", _key("id", Integer), _must("number", BigInteger))  # ``moments.py``
positions = _keyed(
    "positions",
    _key("topic", Text),
    _key("partition", Integer),
    _must("topic_id", Text),
    _must("next_offset", BigInteger),
    _may("instant", BigInteger),  # the latest instant passed
    _may("log_version", LargeBinary),
    _may("log_at", BigInteger),
    _must("recent", Text),  # records and rejects of the latest batches, for the reject limit
    _may("read_at", BigInteger),  # the latest record was sent and read, or reading began
    _may("excused", BigInteger),  # just this committed offset of the group is explained
    _may("passed", BigInteger),  # read up to here before a gap in the same topic
    _may("stopped_at", BigInteger),  # nothing is read of it since, until a person mends it
)
topics = _keyed(
    "topics",
    _key("topic", Text),
    _must("topic_id", Text),
    _must("partitions", Integer),
    _may("told_silent", BigInteger),  # `read_at` of the record whose silence was told
    _may("gone_since", BigInteger),  # it was there, and is not
)
ends = _keyed(
    "ends",
    _key("topic", Text),
    _key("partition", Integer),
    _must("looked_at", BigInteger),  # reading is known to have been at the end then
    _must("moment", BigInteger),  # that was the latest before the end was looked up
)
feeds = _keyed("feeds", _key("topic", Text), _key("processor_id", Integer))
snapshots = _keyed(
    "snapshots",
    _key("connector", Text),
    _key("topic", Text),  # empty: what is known of the whole connector
    _may("row_until", BigInteger),
    _may("incremental_until", BigInteger),
    _may("ended_at", BigInteger),
    _may("ended_seen_no", BigInteger),  # the moment at which that was first known
)
unverified = _keyed(
    "unverified",
    _key("processor_id", Integer),  # 0: the whole database
    _key("reason", Text),
    _key("topic", Text),
    _must("since", BigInteger),
    _may("accepted_at", BigInteger),  # when a person took it away
    _may("marked_no", BigInteger),  # the moment at which it was last written, by no person
    _may("last_at", BigInteger),  # when that was, by the clock of who saw it
)
files = _keyed(
    "files",  # that are being applied, or whose ``apply`` died
    _key("source", Text),
    _key("file", Text),  # hash of where it is
    _must("name", Text),
    _must("run", Text),
    _must("since", BigInteger),
    _must("beat_at", BigInteger),
    _may("told_at", BigInteger),
)
rejects = _keyed(
    "rejects",
    _key("topic", Text),
    _key("partition", Integer),
    _key("offset", BigInteger),
    _key("file", Text),  # hash of where it is; empty: read from Kafka
    _may("topic_id", Text),  # null: read from a file
    _must("source", Text),
    _must("reason", Text),
    _must("read_at", BigInteger),
)
ignored = _keyed("ignored", _key("reason", Text), _must("records", BigInteger))

# -- rules that people feed, early warnings, days (monitor/store/external.py, approaching.py, ..) --

told_numbers = _table(
    "told_numbers",
    Column("id", Serial, primary_key=True),
    _must("processor_id", Integer),
    _must("name", Text),
    _must("at", BigInteger),  # from when on it is so
    _must("number", BigInteger),
    _must("known_at", BigInteger),
    _must("by", Text),
    _must("reason", Text),
)
told_events = _table(
    "told_events",
    Column("id", Serial, primary_key=True),
    _must("processor_id", Integer),
    _must("kind", Text),
    _must("reference", Text),  # tells apart events of one kind; empty: its instant does
    _must("at", BigInteger),
    _must("known_at", BigInteger),
    _must("by", Text),
    _must("reason", Text),
    UniqueConstraint("processor_id", "kind", "reference", "at"),
)
approaches = _keyed(
    "approaches",
    _key("processor_id", Integer),
    _key("rule", Text),
    _key("percent", Integer),
    _must("at_least", BigInteger),
    _must("passes", Integer),  # how often this was told
    _may("seen_at", BigInteger),  # our clock: the number was first seen at or over it
    _may("seen_no", BigInteger),  # the moment
    _may("newest_at", BigInteger),  # of the facts that the number seen then was made of
    _may("told_at", BigInteger),
)
days = _keyed(
    "days",
    _key("processor_id", Integer),
    _key("day", Integer),  # in Beijing, as the number that Python's dates have
    _must("individuals", BigInteger),  # at its end, or now
    _must("from_book", Boolean),  # by event time; else as it was known then
)

# -- calendars, each version as it was used (monitor/store/calendars.py) ------------------------

calendars = _keyed(
    "calendars",  # append-only
    _key("year", Integer),
    _key("version", Text),
    _key("origin", Text),  # `shipped`, `folder` or `loaded`
    _must("notice", Text),  # number, date and address
    _must("text", Text),
    _must("sha256", Text),  # of the text: the audit log has it, too
    _must("loaded_at", BigInteger),
    _may("by", Text),
    _may("because", Text),
)
