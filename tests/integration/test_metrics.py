"""What Prometheus gets: from a database filled by the keeper, over HTTP, judged by promtool."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from alerts import metrics as alerts
from monitor import measures
from monitor.duties import Duty
from monitor.facts import Changed, Enrolled, Fact, Instant, Place, Store, Terminated, Version
from monitor.filings import Life, Step, StepKind
from monitor.identity import Identity
from monitor.intake import (
    Batch,
    Coordinates,
    EndSeen,
    Gap,
    GapReason,
    Ignored,
    Move,
    Reason,
    Reject,
    TooManyRejects,
    TopicSeen,
)
from monitor.ledger import Stock
from monitor.limits import RejectLimit
from monitor.marks import Marks, SystemMark
from monitor.metrics import BadAddress, Caps, LedgerCollector, new_registry, serve
from monitor.metrics_running import AlertsMetrics, WorkerMetrics
from monitor.rules import SHIPPED, Rule
from monitor.store import gauges, schema
from monitor.store.engine import open_engine
from monitor.store.gauges import Gauges, StoreAway
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from monitor.store.outbox import SqlOutbox
from monitor.store.reading import ProcessorStatus, Status
from monitor.trust import Doubt, Why
from monitor.workdays import Deadline, beijing_day, load_calendar
from streams.telling import Observer
from tests.services.prometheus import Promtool

SECOND = 1_000_000
NOW: Instant = 1_795_305_600 * SECOND  # 2026-11-22 00:00 UTC, a Sunday
DAY = 24 * 3600 * SECOND
CALENDAR = load_calendar()
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

IDENTITY = Identity("5e" * 32)
PEOPLE = [f"canary-person-{number}" for number in range(5)]
FACE = "canary-face"

# A threshold small enough to be reached here; the shipped one stays beside it.
RULES = (*SHIPPED, Rule(id="small", at_least=3, period=30))
MARKS = Marks([SystemMark(processor="acme 第一", system="lab", research=True)])

LABELS = {spec.name: spec.labels for spec in measures.catalogue()}  # the text sorts them
Samples = dict[tuple[str, ...], float]


def enrolled(processor: str, system: str, person: str, at: Instant, face: str = "") -> Enrolled:
    store = Store(f"{processor}/{system}/")
    return Enrolled(
        store,
        IDENTITY.face(store.name, face),
        Place(processor, system, ""),
        IDENTITY.subject(processor, system, person),
        Version(at, 0, 0),
        at,
        at,
    )


def batch(facts: list[Fact], offset: int = 0) -> Batch:
    rejects = [Reject(Coordinates("faces", 0, offset), Reason.NOT_JSON)]
    return Batch(
        source="cloudevents",
        topic="faces",
        facts=facts,
        read_at=NOW,
        move=Move("faces", 0, "id", offset or None, offset + 10),
        rejects=rejects,
        ignored={Ignored.TOMBSTONE: 2},
        instant=NOW - SECOND,
        records=10,
    )


def history() -> list[Fact]:
    """Three people at two gates, one more in the lab, one at another company that has ended."""
    acme = "acme 第一"
    facts: list[Fact] = [
        enrolled(acme, "gate", person, NOW - DAY + number)
        for number, person in enumerate(PEOPLE[:3])
    ]
    facts.append(enrolled(acme, 'pay "east"\n', PEOPLE[0], NOW - DAY + 10, FACE))
    facts.append(enrolled(acme, "lab", PEOPLE[3], NOW - DAY + 11))
    facts.append(enrolled("beta", "gate", PEOPLE[4], NOW - DAY + 12))
    facts.append(Terminated("beta", Version(NOW - DAY + 13, 0, 0), NOW - DAY + 13))
    facts.append(Changed(acme, ("purpose",), Version(NOW - DAY + 14, 0, 0), NOW - DAY + 14))
    return facts


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "postgresql":
        made = open_engine(request.getfixturevalue("postgres_url"))
    else:
        made = open_engine(f"sqlite:///{tmp_path / 'facetally.db'}")
    schema.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def keeper(engine: Engine) -> SqlKeeper:
    """A keeper that has kept the history; the small threshold is reached and not confirmed."""
    SqlOutbox(engine).ensure(["log", "webhook"], NOW)
    policy = Policy(rules=RULES, calendar=CALENDAR, marks=MARKS, limit=RejectLimit())
    made = SqlKeeper(engine, policy, lambda _: ["faces"], NOW)
    made.keep([batch(history())])
    return made


def confirm(keeper: SqlKeeper) -> None:
    """Have the one partition that feeds everybody read to its end."""
    (stored,) = keeper.positions([("faces", 0)]).values()
    keeper.topics([TopicSeen("faces", stored.topic_id, 1)])
    keeper.ends([EndSeen("faces", 0, stored.next_offset, NOW + 1, keeper.moment())])
    keeper.finish(NOW + 2)


def collector(engine: Engine, clock: Callable[[], Instant] = lambda: NOW) -> LedgerCollector:
    return LedgerCollector(partial(gauges.read, engine, RULES), CALENDAR, clock, fresh_for=0)


def doubted(engine: Engine) -> Gauges:
    """What the database says, with a topic missing and another silent for each processor."""
    found = gauges.read(engine, RULES)
    whys = (
        Why(reason=Doubt.TOPIC_MISSING, topic="gone", since=0),
        Why(reason=Doubt.SOURCE_SILENT, topic="quiet", since=0),
    )
    more = (*whys, Why(reason=Doubt.FILE_UNFINISHED, topic="people.ndjson", since=0))
    processors = tuple(replace(one, unverified=more) for one in found.status.processors)
    return replace(found, status=replace(found.status, processors=processors))


def exposed(registry: CollectorRegistry) -> str:
    """What an HTTP client is given."""
    host, port = serve(registry, "127.0.0.1:0")
    answer = httpx.get(f"http://{host}:{port}/metrics", timeout=20)

    assert answer.status_code == 200
    return answer.text


def scraped(ledger: LedgerCollector) -> dict[str, Samples]:
    """All samples by name without ``facetally_``, then by their labels' values."""
    registry = CollectorRegistry()
    registry.register(ledger)
    return samples_of(exposed(registry))


def samples_of(text: str) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            names = LABELS.get(sample.name, tuple(sample.labels))
            key = tuple(sample.labels[name] for name in names)
            found.setdefault(sample.name.removeprefix("facetally_"), {})[key] = sample.value
    return found


def full(engine: Engine) -> CollectorRegistry:
    """Everything in one process, each metric with a sample, as ``facetally up`` might have it."""
    registry = new_registry()
    registry.register(LedgerCollector(partial(doubted, engine), CALENDAR, lambda: NOW, fresh_for=0))
    worker, senders = WorkerMetrics(registry), AlertsMetrics(registry)
    worker.offered([batch([])])
    worker.stored([batch([])])
    worker.kept(10, 5_000)
    worker.retrying("looking at ends", OSError())
    worker.position_moved([("faces", 0)])
    worker.lag({("faces", 0): 7}, ())
    worker.turned("keeper", NOW)
    senders.sent("log")
    senders.failed("log", permanent=True)
    senders.shown("log", ok=True)
    senders.crashed("log")
    senders.turned("log", NOW)
    senders.waiting("log", 0, 0, 0.0)
    senders.reachable({"ann": True}, {("duties", 1): True})
    senders.acknowledged(200)
    return registry


# -- as a whole -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("keeper")
def test_promtool_has_nothing_to_complain_of(engine: Engine, promtool: Promtool) -> None:
    assert promtool.check_metrics(exposed(full(engine))) == ""


@pytest.mark.usefixtures("keeper")
def test_what_is_exposed_is_what_is_declared(engine: Engine) -> None:
    families = text_string_to_metric_families(exposed(full(engine)))
    found = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type): {
            name for sample in family.samples for name in sample.labels if name != "le"
        }
        for family in families
        if not family.name.startswith("process_")
    }

    assert found == {(spec.name, spec.kind): set(spec.labels) for spec in measures.catalogue()}


@pytest.mark.usefixtures("keeper")
def test_no_id_of_anybody_is_exposed_raw_or_hashed(engine: Engine) -> None:
    text = exposed(full(engine))
    hashes = {IDENTITY.subject("acme 第一", "gate", person).hex() for person in PEOPLE}

    assert "acme 第一" in text
    assert "canary" not in text
    assert [found for found in hashes if found in text] == []


def test_the_documentation_lists_what_is_declared() -> None:
    row = re.compile(r"^\| `([a-z_]+)` \| (\w+) \| (.*?) \| (.*?) \|$", re.MULTILINE)
    section = re.compile(r"^## .*`(\w+)`$", re.MULTILINE)
    parts = section.split(DOCS.read_text("utf-8"))[1:]
    listed = [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), sentence, where)
        for where, part in zip(parts[::2], parts[1::2], strict=True)
        for name, kind, labels, sentence in row.findall(part)
    ]

    assert listed == [
        (spec.name, spec.kind, spec.labels, spec.sentence, spec.where)
        for spec in measures.catalogue()
    ]


@pytest.mark.parametrize("spec", measures.catalogue(), ids=lambda spec: spec.name)
def test_each_metric_has_one_sentence(spec: measures.Spec) -> None:
    assert re.fullmatch(r"[0-9A-Z][^|\n]+[a-z]\.", spec.sentence)


# -- the ledger -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("keeper")
def test_numbers_are_those_of_the_ledger(engine: Engine) -> None:
    found = scraped(collector(engine))

    assert found["processors"] == {(): 2}
    assert found["individuals"] == {("acme 第一",): 3, ("beta",): 1}
    assert found["research_individuals"] == {("acme 第一",): 1, ("beta",): 0}
    assert found["system_individuals"] == {
        ("acme 第一", "gate"): 3,
        ("acme 第一", 'pay "east"\n'): 1,
        ("acme 第一", "lab"): 1,
        ("beta", "gate"): 1,
    }
    assert found["verified"] == {("acme 第一",): 1, ("beta",): 1}


@pytest.mark.usefixtures("keeper")
def test_a_reach_is_pending_until_it_is_confirmed(engine: Engine, keeper: SqlKeeper) -> None:
    before = scraped(collector(engine))
    confirm(keeper)
    after = scraped(collector(engine))
    small, shipped = ("acme 第一", "small"), ("acme 第一", "frt.file")

    assert before["threshold_individuals"][small] == 3
    assert before["threshold_individuals"][shipped] == 100_000
    assert (before["threshold_pending"][small], before["threshold_reached"][small]) == (1, 0)
    assert (after["threshold_pending"][small], after["threshold_reached"][small]) == (0, 1)
    assert (after["threshold_pending"][shipped], after["threshold_reached"][shipped]) == (0, 0)


@pytest.mark.usefixtures("keeper")
def test_a_duty_is_due_at_the_early_end_while_provisional(engine: Engine) -> None:
    """30 working days from Saturday 2026-11-21: beyond 2026, between 2027-01-01 and 01-11."""
    found = scraped(collector(engine))
    key = ("beta", "frt.cancel", "1")

    assert found["duties"]["beta", "frt.cancel", "open"] == 1
    assert found["duties"]["beta", "frt.cancel", "overdue"] == 0
    assert found["duty_provisional"][key] == 1
    assert found["duty_due_timestamp_seconds"][key] == 1_798_819_200  # 2027-01-02 00:00 in Beijing
    assert found["duty_workdays_left"][key] == 30
    assert found["calendar_last_day_timestamp_seconds"] == {(): 1_798_732_800}


@pytest.mark.usefixtures("keeper")
def test_status_and_days_left_follow_the_clock(engine: Engine) -> None:
    found = scraped(collector(engine, lambda: NOW + 60 * DAY))

    assert found["duties"]["beta", "frt.cancel", "open"] == 0
    assert found["duties"]["beta", "frt.cancel", "overdue"] == 1
    assert found["duty_workdays_left"]["beta", "frt.cancel", "1"] < 0


@pytest.mark.usefixtures("keeper")
def test_topics_that_are_missing_or_silent_are_named_and_files_are_not(engine: Engine) -> None:
    ledger = LedgerCollector(partial(doubted, engine), CALENDAR, lambda: NOW, fresh_for=0)
    named = {labels[1:] for labels in scraped(ledger)["unverified_topic"]}

    assert named == {("gone", "topic_missing"), ("quiet", "source_silent")}


@pytest.mark.usefixtures("keeper")
def test_rejects_and_ignored_records_are_told_by_reason(engine: Engine) -> None:
    found = scraped(collector(engine))

    assert {key for key, number in found["rejected_records"].items() if number} == {("not_json",)}
    assert found["rejected_records"]["too_early",] == 0
    assert found["ignored_records"]["tombstone",] == 2


@pytest.mark.usefixtures("keeper")
def test_the_backlog_is_told_for_every_known_channel(engine: Engine) -> None:
    outbox = SqlOutbox(engine)
    while (claim := outbox.claim("log", NOW, SECOND)) is not None:
        outbox.sent(claim, NOW, "logged")
    first = outbox.claim("webhook", NOW, SECOND)
    assert first is not None
    outbox.failed(first, NOW + SECOND, "answered 500")
    found = scraped(collector(engine))

    assert found["notices_waiting"] == {("log",): 0, ("webhook",): 2}
    assert found["notices_failing"] == {("log",): 0, ("webhook",): 1}
    assert found["notice_oldest_waiting_timestamp_seconds"] == {("webhook",): NOW / SECOND}


def test_the_head_of_the_audit_log_is_told(engine: Engine, keeper: SqlKeeper) -> None:
    before = scraped(collector(engine))
    confirm(keeper)
    after = scraped(collector(engine))
    ((head,),) = after["audit_head_info"]

    assert after["audit_entries"][()] > before["audit_entries"][()] > 0
    assert re.fullmatch("[0-9a-f]{64}", head)
    assert head not in {key for keys in before["audit_head_info"] for key in keys}


def test_a_gap_takes_the_trust_away(engine: Engine, keeper: SqlKeeper) -> None:
    keeper.placed(gaps=[Gap("faces", 0, "id", GapReason.RETENTION, 10, 50, NOW)])
    found = scraped(collector(engine))

    assert found["verified"] == {("acme 第一",): 0, ("beta",): 0}


def test_while_the_database_is_away_there_are_no_old_numbers(tmp_path: Path) -> None:
    path = tmp_path / "facetally.db"
    engine = open_engine(f"sqlite:///{path}")
    schema.metadata.create_all(engine)
    registry = new_registry()
    registry.register(collector(engine))
    before = samples_of(exposed(registry))
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE stock")
    database.close()
    after = samples_of(exposed(registry))
    engine.dispose()

    assert before["ledger_readable"] == {(): 1}
    assert after["ledger_readable"] == {(): 0}
    assert "audit_entries" in before
    assert "audit_entries" not in after
    assert "process_cpu_seconds_total" in after


def test_one_read_serves_the_scrapes_of_some_seconds() -> None:
    reads: list[Instant] = []
    clock = [NOW]

    def read() -> Gauges:
        reads.append(clock[0])
        return of_many(1)

    ledger = LedgerCollector(read, CALENDAR, lambda: clock[0], fresh_for=10 * SECOND)
    for now in (NOW, NOW + 10 * SECOND - 1, NOW + 10 * SECOND, NOW + 5 * SECOND):
        clock[0] = now
        list(ledger.collect())

    assert reads == [NOW, NOW + 10 * SECOND, NOW + 5 * SECOND]


def test_a_database_that_is_away_is_not_asked_again_at_once() -> None:
    asked = []

    def read() -> Gauges:
        asked.append(1)
        raise StoreAway("OperationalError")

    ledger = LedgerCollector(read, CALENDAR, lambda: NOW)
    for _ in range(3):
        list(ledger.collect())

    assert len(asked) == 1


def test_two_exporters_of_the_ledger_in_one_registry_are_refused() -> None:
    registry = CollectorRegistry()
    registry.register(LedgerCollector(lambda: of_many(1), CALENDAR, lambda: NOW))

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(LedgerCollector(lambda: of_many(1), CALENDAR, lambda: NOW))


# -- bounded labels -------------------------------------------------------------------------------


def of_many(processors: int, systems: int = 1, duties: int = 0) -> Gauges:
    """A state with so many processors, each as large as its number, systems likewise."""
    statuses = []
    for number in range(processors):
        stock = Stock()
        stock.individuals = number
        stock.systems = {f"s{system:05}": system for system in range(systems)}
        statuses.append(
            ProcessorStatus(
                processor=f"p{number:05}",
                stock=stock,
                thresholds=(),
                unverified=(),
                recount_pending=False,
            )
        )
    return Gauges(
        status=Status(processors=tuple(statuses)),
        duties=tuple(owed("p00000", number) for number in range(duties)),
        channels=("log",),
        waiting=(),
        audit_entries=0,
        audit_head="0" * 64,
    )


def owed(processor: str, number: int) -> Duty:
    """A duty; the higher its number the earlier it is due."""
    day = beijing_day(NOW - number * DAY)
    return Duty(
        processor=processor,
        rule="frt.change",
        key=f"{number:05}",
        trigger_day=day,
        trigger_at=NOW - number * DAY,
        not_later_than=False,
        opened_at=NOW,
        deadline=Deadline.on(day, "2026-1"),
        proof={},
    )


def test_however_many_there_are_the_series_are_bounded() -> None:
    ledger = LedgerCollector(lambda: of_many(3_000, 120, 90), CALENDAR, lambda: NOW)
    found = scraped(ledger)
    most = Caps()

    assert len(found["individuals"]) == most.processors == 500
    assert found["processors"] == {(): 3_000}
    assert found["processors_left_out"] == {(): 2_500}
    assert len(found["system_individuals"]) == most.processors * most.systems
    assert set(found["systems_left_out"].values()) == {120 - most.systems}
    assert len(found["duty_due_timestamp_seconds"]) == most.duties
    assert found["duties_left_out"]["p00000",] == 90 - most.duties


def test_kept_is_who_owes_something_then_the_largest_then_what_is_due_first() -> None:
    ledger = LedgerCollector(
        lambda: of_many(9, 3, 3),
        CALENDAR,
        lambda: NOW,
        caps=Caps(processors=2, systems=1, duties=1),
    )
    found = scraped(ledger)

    assert set(found["individuals"]) == {("p00000",), ("p00008",)}
    assert set(found["system_individuals"]) == {("p00000", "s00002"), ("p00008", "s00002")}
    assert set(found["duty_due_timestamp_seconds"]) == {("p00000", "frt.change", "00002")}
    assert found["duties"]["p00000", "frt.change", "overdue"] == 2


def taken(*kinds: StepKind) -> Life:
    at = NOW - DAY
    return Life(
        tuple(
            Step(id=kind.value, kind=kind, at=at, known_at=at, source="command") for kind in kinds
        )
    )


def with_duties(*duties: Duty) -> dict[str, Samples]:
    state = replace(of_many(3), duties=duties)
    caps = Caps(processors=1, systems=1, duties=1)
    return scraped(LedgerCollector(lambda: state, CALENDAR, lambda: NOW, caps=caps))


def test_overdue_duties_are_counted_whatever_has_no_series() -> None:
    """Number 0 is due today and still in time; of p00001 nothing is shown."""
    found = with_duties(*(owed(name, day) for name in ("p00000", "p00001") for day in range(3)))

    assert found["duties_overdue"] == {(): 4}
    assert sum(found["duties"].values()) == 3


def test_what_was_submitted_and_failed_is_overdue_as_before() -> None:
    """Its status says failed, and a sum of those that say overdue would miss it."""
    failed = replace(owed("p00000", 2), life=taken(StepKind.SUBMITTED, StepKind.FAILED))
    found = with_duties(failed)

    assert found["duties"]["p00000", "frt.change", "overdue"] == 0
    assert found["duties_overdue"] == {(): 1}


def test_a_duty_that_was_closed_or_submitted_is_not_overdue() -> None:
    late = owed("p00000", 2)
    closed = replace(late, closed_at=NOW - 1)
    submitted = replace(late, life=taken(StepKind.SUBMITTED))

    assert with_duties(closed, submitted)["duties_overdue"] == {(): 0}


def test_a_closed_duty_is_counted_and_has_no_clock() -> None:
    state = of_many(1)
    closed = replace(owed("p00000", 0), closed_at=NOW - 1)
    ledger = LedgerCollector(lambda: replace(state, duties=(closed,)), CALENDAR, lambda: NOW)
    found = scraped(ledger)

    assert found["duties"]["p00000", "frt.change", "completed"] == 1
    assert "duty_due_timestamp_seconds" not in found


# -- processes ------------------------------------------------------------------------------------


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_worker_counts_by_topic_and_reason(registry: CollectorRegistry) -> None:
    worker = WorkerMetrics(registry)
    worker.offered([batch([]), batch([], 10)])
    worker.offered([batch([]), batch([], 10)])
    worker.stored([batch([]), batch([], 10)])
    found = samples_of(exposed(registry))

    assert found["records_read_total"] == {("faces",): 40}
    assert found["records_kept_total"] == {("faces",): 20}
    assert found["records_rejected_total"] == {("faces", "not_json"): 2}
    assert found["records_ignored_total"] == {("faces", "tombstone"): 4}
    assert found["batches_kept_total"] == {("faces",): 2}
    assert found["topic_last_kept_timestamp_seconds"] == {("faces",): NOW / SECOND}
    assert found["partition_position_timestamp_seconds"] == {("faces", "0"): NOW / SECOND - 1}


def test_a_worker_tells_what_the_reading_loop_tells_it(registry: CollectorRegistry) -> None:
    observer: Observer = WorkerMetrics(registry)
    observer.kept(10, 40_000)
    observer.retrying("looking at ends", OSError("a secret"))
    observer.position_moved([("faces", 0), ("faces", 1)])
    observer.lag({("faces", 0): 7}, ())
    text = exposed(registry)
    found = samples_of(text)

    assert found["transaction_duration_seconds_sum"] == {(): 0.04}
    assert found["transaction_duration_seconds_bucket"]["0.05",] == 1
    assert found["transaction_duration_seconds_bucket"]["0.025",] == 0
    assert found["retries_total"] == {("looking_at_ends",): 1}
    assert found["positions_moved_total"] == {(): 2}
    assert found["partition_lag_records"] == {("faces", "0"): 7}
    assert "secret" not in text


def test_a_stopped_partition_is_shown_until_it_goes_on(registry: CollectorRegistry) -> None:
    worker = WorkerMetrics(registry)
    worker.held(("faces", 0), TooManyRejects("faces/0"))
    stopped = samples_of(exposed(registry))["partition_held"]
    worker.stored([batch([])])
    going = samples_of(exposed(registry))["partition_held"]

    assert (stopped, going) == ({("faces", "0"): 1}, {("faces", "0"): 0})


def test_a_partition_that_went_to_another_worker_is_shown_no_more(
    registry: CollectorRegistry,
) -> None:
    worker = WorkerMetrics(registry)
    worker.stored([batch([])])
    worker.held(("faces", 1), TooManyRejects("faces/1"))
    worker.lag({("faces", 0): 7, ("faces", 1): 9}, [("faces", 1)])
    worker.lag({("faces", 1): 5}, [("faces", 1)])
    found = samples_of(exposed(registry))

    assert found["partition_lag_records"] == {("faces", "1"): 5}
    assert found["partition_held"] == {("faces", "1"): 1}
    assert "partition_position_timestamp_seconds" not in found


def test_a_stopped_partition_whose_end_was_not_looked_up_stays_shown(
    registry: CollectorRegistry,
) -> None:
    """It was placed and stopped between two looks."""
    worker = WorkerMetrics(registry)
    worker.held(("faces", 0), TooManyRejects("faces/0"))
    worker.lag({}, [("faces", 0)])
    found = samples_of(exposed(registry))

    assert found["partition_held"] == {("faces", "0"): 1}


def test_a_partition_that_is_stopped_no_more_is_shown_as_going_on(
    registry: CollectorRegistry,
) -> None:
    worker = WorkerMetrics(registry)
    worker.held(("faces", 0), TooManyRejects("faces/0"))
    worker.lag({("faces", 0): 0}, [])
    found = samples_of(exposed(registry))

    assert found["partition_held"] == {("faces", "0"): 0}


def test_a_thread_of_a_worker_shows_when_it_came_round(registry: CollectorRegistry) -> None:
    worker = WorkerMetrics(registry)
    worker.turned("keeper", NOW - SECOND)
    worker.turned("keeper", NOW)
    found = samples_of(exposed(registry))

    assert found["worker_last_round_timestamp_seconds"] == {("keeper",): NOW / SECOND}


def test_senders_count_what_they_did(registry: CollectorRegistry) -> None:
    senders = AlertsMetrics(registry)
    as_asked: alerts.Metrics = senders
    as_asked.sent("log")
    senders.failed("webhook", permanent=False)
    senders.failed("webhook", permanent=True)
    senders.shown("alertmanager", ok=False)
    senders.shown("alertmanager", ok=True)
    senders.crashed("webhook")
    senders.turned("log", NOW)
    senders.waiting("log", 3, 1, 5.0)
    senders.pages(4, 90.0, 2)
    senders.reachable({"ann": False, "bob": True}, {("duties", 1): True, ("duties", 2): False})
    senders.silences(3)
    senders.channels_reaching.set(2)
    senders.acknowledged(200)
    senders.acknowledged(401)
    found = samples_of(exposed(registry))

    assert found == {
        "notices_sent_total": {("log",): 1},
        "notice_failures_total": {("webhook", "false"): 1, ("webhook", "true"): 1},
        "duty_posts_total": {("alertmanager", "failed"): 1, ("alertmanager", "ok"): 1},
        "alerts_errors_total": {("webhook",): 1},
        "alerts_last_round_timestamp_seconds": {("log",): NOW / SECOND},
        "pages_unacknowledged": {(): 4},
        "page_oldest_unacknowledged_age_seconds": {(): 90},
        "pages_after_last_step": {(): 2},
        "responder_unreachable": {("ann",): 1, ("bob",): 0},
        "escalation_step_unreachable": {("duties", "1"): 0, ("duties", "2"): 1},
        "silences_active": {(): 3},
        "channels_reaching": {(): 2},
        "acknowledgement_requests_total": {("200",): 1, ("401",): 1},
    }


# -- serving --------------------------------------------------------------------------------------


def test_port_0_takes_a_free_port_and_says_which(registry: CollectorRegistry) -> None:
    ports = {serve(registry, "127.0.0.1:0")[1] for _ in range(2)}

    assert len(ports - {0}) == 2


def test_a_port_that_is_taken_is_an_error(registry: CollectorRegistry) -> None:
    host, port = serve(registry, "127.0.0.1:0")

    with pytest.raises(OSError, match="in use"):
        serve(registry, f"{host}:{port}")


@pytest.mark.parametrize(
    "address", ["", "9464", ":9464", "localhost", "localhost:http", "h:70000", "h:1/x", "u@h:1"]
)
def test_an_address_without_host_and_port_is_refused(
    registry: CollectorRegistry, address: str
) -> None:
    with pytest.raises(BadAddress):
        serve(registry, address)
