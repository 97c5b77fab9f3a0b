"""The simulated estate of the demo: what it tells is what its truth folds, by an oracle too."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, takewhile

import pytest

from deploy.demo.estate import SECOND, Delivery, Site, Story, estate, told
from deploy.demo.happenings import Happening, Kind, Truth
from monitor.facts import Fact, StorageFact, Terminated
from monitor.identity import Identity
from monitor.intake import Ignored, Reason
from streams.adapters.cloudevents import CloudEvents
from streams.records import Record, Undecodable
from tests import oracle

NOW = 1_795_000_000 * SECOND
SITES = {site.processor: replace(site, individuals=50, a_second=6.0) for site in estate(50)}


def deliveries(site: Site, seed: int, seconds: int = 20) -> list[Delivery]:
    story = Story(site, seed)
    backlog = list(story.backlog(NOW))
    end = NOW + seconds * SECOND
    return backlog + list(takewhile(lambda one: one.due < end, story.live(NOW)))


def decoded(site: Site, sent: list[Delivery]) -> list[Fact | Ignored | Reason]:
    """What facetally's own adapter makes of the records, in their order."""
    adapter = CloudEvents(Identity("ab" * 32))
    found: list[Fact | Ignored | Reason] = []
    for offset, one in enumerate(sent):
        stamp = (one.due or NOW) // 1000
        record = Record(
            site.topic, 0, offset, stamp, one.sent.key, one.sent.value, one.sent.headers
        )
        try:
            answer = adapter.decode(record, stamp * 1000)
        except Undecodable as exc:
            found.append(exc.reason)
            continue
        found += [answer.ignored] if answer.ignored else answer.facts
    return found


def storage(facts: list[Fact | Ignored | Reason]) -> list[StorageFact]:
    return [
        fact
        for fact in facts
        if not isinstance(fact, Ignored | Reason | Terminated) and isinstance(fact, StorageFact)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("processor", SITES)
def test_the_truth_is_what_the_oracle_counts_from_the_records(processor: str, seed: int) -> None:
    site = SITES[processor]
    sent = deliveries(site, seed)
    facts = storage(decoded(site, sent))
    truth = Truth.of(told(sent), site.research, at_least=60)

    counted = oracle.stock(facts, lambda place: place.system in site.research)[processor]
    numbers = oracle.timeline(facts, processor, lambda place: place.system in site.research)
    assert (counted.individuals, counted.research) == (
        truth.individuals,
        truth.research_individuals,
    )
    assert counted.systems == truth.systems()
    assert oracle.first_reach(numbers, 60) == truth.reached_at


@pytest.mark.parametrize("processor", SITES)
def test_the_same_seed_tells_the_same_story(processor: str) -> None:
    site = SITES[processor]

    assert deliveries(site, 7) == deliveries(site, 7)
    assert deliveries(site, 7) != deliveries(site, 8)


@pytest.mark.parametrize("individuals", [0, 1, 2, 17, 1_000])
def test_the_backlog_ends_with_the_number_that_was_asked_for(individuals: int) -> None:
    site = replace(SITES["harbour-metro"], individuals=individuals)
    backlog = list(Story(site, 1).backlog(NOW))

    assert Truth.of(told(backlog), site.research, 1).individuals == individuals


def test_nothing_of_the_backlog_is_dated_in_the_future() -> None:
    story = Story(replace(SITES["harbour-metro"], individuals=500), 1)

    assert max(one.at for one in told(story.backlog(NOW))) < NOW


def test_live_happenings_are_due_when_they_happen_or_later() -> None:
    story = Story(replace(SITES["harbour-metro"], individuals=10), 1)
    list(story.backlog(NOW))
    live = list(takewhile(lambda one: one.due < NOW + 30 * SECOND, story.live(NOW)))

    assert all(one.happening is None or one.happening.at <= one.due + 1 for one in live)
    assert all(before.due <= after.due for before, after in pairwise(live))


def test_some_records_come_twice_some_late_and_some_out_of_order() -> None:
    story = Story(replace(SITES["harbour-metro"], individuals=3_000, a_second=100.0), 1)
    backlog = list(told(story.backlog(NOW)))
    live = list(told(takewhile(lambda one: one.due < NOW + 30 * SECOND, story.live(NOW))))
    late = [one for one in live if one.at < NOW]

    assert len(set(backlog)) < len(backlog)
    assert any(before.at > after.at for before, after in pairwise(backlog))
    assert {one.kind for one in late} == {Kind.ENROLLED, Kind.SUBJECT_REMOVED}


def test_every_kind_of_happening_is_told_and_decoded() -> None:
    sent = [one for site in SITES.values() for one in deliveries(site, 1, seconds=40)]

    assert {one.kind for one in told(sent)} == set(Kind)


def test_strange_records_are_rejected_or_ignored_and_no_other_is() -> None:
    site = replace(SITES["harbour-metro"], a_second=5.0)
    sent = deliveries(site, 1, seconds=60)
    found = decoded(site, sent)

    assert [isinstance(one, Ignored | Reason) for one in found] == [
        one.happening is None for one in sent
    ]
    assert {one for one in found if isinstance(one, Ignored | Reason)} == {
        Reason.UNKNOWN_TYPE,
        Reason.MISSING_FIELD,
        Reason.HAS_BIOMETRIC_CONTENT,
        Reason.NOT_JSON,
        Reason.TOO_EARLY,
        Ignored.TOMBSTONE,
    }


def test_the_payment_processor_ends_its_use_and_one_system_is_not_emptied() -> None:
    site = SITES["swift-pay"]
    sent = deliveries(site, 1, seconds=60)
    truth = Truth.of(told(sent), site.research, at_least=100_000)

    assert sum(fact.__class__ is Terminated for fact in decoded(site, sent)) >= 1
    assert set(truth.systems()) == {"store-12"}


def test_the_truth_counts_a_person_with_two_ids_once() -> None:
    happenings = [
        Happening(1, Kind.ENROLLED, system="gate-01", face="a", subject="E1"),
        Happening(2, Kind.ENROLLED, system="gate-02", face="b", subject="E1-card"),
        Happening(3, Kind.LINKED, subject="E1-card", individual="E1"),
    ]
    truth = Truth.of(happenings, frozenset(), at_least=2)

    assert truth.individuals == 1
    assert truth.reached_at == 2
    assert truth.systems() == {"gate-01": 1, "gate-02": 1}
