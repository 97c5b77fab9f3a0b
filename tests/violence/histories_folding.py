"""One history through the pure ledger, delivered in every way there is, against the truth.

``wrong(facts, rnd)`` says where the ledger differs from ``histories_truth``: the digest after a
permutation, after repeats in other batches, after a split into partitions with restarts on the way
(all registers written as the rows of the store and read back), and after a replay from zero; the
stock and who is in it; every register; the stock as of every instant; and the first reaches of
small thresholds, also those after an instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from monitor.digest import digest
from monitor.facts import Instant, Purged, StorageFact, SubjectRemoved, Truncated, Version
from monitor.history import as_of, look_back
from monitor.ledger import Ledger
from monitor.store.names import Names
from monitor.store.packing import pack, pack_version, unpack_version
from monitor.store.registers import load_row, registers_of
from tests import oracle
from tests.builders import numbers
from tests.violence.histories_arranging import (
    Batches,
    batched,
    interleaved,
    lagging,
    permuted,
    repeated,
    split,
)
from tests.violence.histories_making import PLACES, PROCESSORS, STORES, history, research
from tests.violence.histories_truth import Truth, first_reach, standing, truth

THRESHOLDS = (1, 2, 3, 4)


def wrong_of(seed: int) -> list[str]:
    """Return what is wrong with the history of *seed*, folded in memory."""
    return wrong(history(seed), Random(seed))


def wrong(facts: Sequence[StorageFact], rnd: Random, said: Truth | None = None) -> list[str]:
    """Return where the ledger is not what the truth about *facts* says; *rnd* draws deliveries."""
    said = said or truth(facts)
    ledger = Ledger(research)
    for fact in facts:
        ledger.apply_all((fact,))
    found = _registers_differ(ledger, said)
    found += _stock_differs(ledger, said)
    found += _deliveries_differ(facts, rnd, ledger)
    found += _instants_differ(permuted(rnd, facts), said)
    found += _reaches_differ(permuted(rnd, facts), rnd, said)
    return found


def _differ(what: str, have: object, want: object) -> list[str]:
    return [] if have == want else [f"{what}: the ledger says {have}, the truth is {want}"]


def _stock_differs(ledger: Ledger, said: Truth) -> list[str]:
    last = said.counts[max(said.counts)]
    standings = {who: standing(where) for who, where in said.stored.items()}
    found = _differ("stock", numbers(ledger), last)
    return found + _differ("standing", ledger.standing, standings)


def _registers_differ(ledger: Ledger, said: Truth) -> list[str]:
    """As tuples an enrolment and the removal that ties with it are equal: so by type, too."""
    have = {(type(fact), fact) for fact in ledger.slots.values()}
    found = _differ("slots", have, {(type(slot[0].said), slot[0].said) for slot in said.slots})
    found += _differ("links", ledger.links, said.links)
    scopes: dict[object, Version] = {
        (SubjectRemoved, *key, scope): version
        for key, versions in ledger.subject_scopes.items()
        for scope, version in versions.items()
    }
    for (processor, *scope), version in ledger.place_scopes.items():
        scopes[Purged, processor, b"", tuple(scope)] = version
    for store, version in ledger.store_scopes.items():
        scopes[Truncated, store, b"", ()] = version
    return found + _differ("scope removals", scopes, said.scopes)


# -- deliveries ------------------------------------------------------------------------------


def _deliveries_differ(facts: Sequence[StorageFact], rnd: Random, whole: Ledger) -> list[str]:
    want, stock = digest(whole), numbers(whole)
    found: list[str] = []
    for name, deliver in DELIVERIES.items():
        ledger = deliver(rnd, facts)
        if digest(ledger) != want:
            found.append(f"{name}: another digest")
        if numbers(ledger) != stock:
            found.append(f"{name}: stock {numbers(ledger)} instead of {stock}")
    return found


def _rebatched(rnd: Random, facts: Sequence[StorageFact]) -> Ledger:
    """Any order, some of them twice, settled after batches of any sizes."""
    return _folded(Ledger(research), batched(rnd, repeated(rnd, facts)))


def _by_partitions(rnd: Random, facts: Sequence[StorageFact]) -> Ledger:
    """Several partitions, restarts on the way, each of which sees the latest batches again."""
    parts = [batched(rnd, lagging(rnd, part)) for part in split(rnd, facts)]
    met = interleaved(rnd, parts)
    ledger, done = Ledger(research), 0
    for _ in range(1 + int(rnd.random() * 2)):
        upto = done + int(rnd.random() * (len(met) - done + 1))
        ledger = reloaded(_folded(ledger, met[done:upto]))
        done = max(0, upto - int(rnd.random() * 3))
    return _folded(ledger, met[done:])


def _from_zero(rnd: Random, facts: Sequence[StorageFact]) -> Ledger:
    """Everything at once, then everything again on top of what was saved of it."""
    ledger = Ledger(research)
    ledger.apply_all(permuted(rnd, facts))
    return _folded(reloaded(ledger), [list(facts)])


DELIVERIES: dict[str, Callable[[Random, Sequence[StorageFact]], Ledger]] = {
    "repeated and in other batches": _rebatched,
    "by partitions with restarts": _by_partitions,
    "replayed from zero": _from_zero,
}


def _folded(ledger: Ledger, batches: Batches) -> Ledger:
    for batch in batches:
        ledger.apply_all(batch)
    return ledger


def _numbered() -> Names:
    """Return the numbers of all names in the universe, as a database would have given them."""
    names = Names()
    for number, processor in enumerate(PROCESSORS, 1):
        names.processor_ids[processor], names.processor_by_id[number] = number, processor
    scopes: dict[tuple[str, str | None, str | None], None] = {}
    for place in PLACES:
        scopes |= dict.fromkeys(((place[0], None, None), (*place[:2], None), place))
    for number, scope in enumerate(scopes, 1):
        names.scope_ids[scope], names.scope_by_id[number] = number, scope[1:]
    for place in PLACES:
        number = names.scope_ids[place]
        names.place_ids[place], names.place_by_id[number] = number, place
    for number, store in enumerate(STORES, 1):
        names.store_ids[store.name], names.store_by_id[number] = number, store
    return names


_NAMES = _numbered()


def reloaded(ledger: Ledger) -> Ledger:
    """Return what is left of *ledger* after its registers were saved as rows, and read again."""
    fresh = Ledger(research)
    for scope, version in ledger.place_scopes.items():
        fresh.place_scopes[scope] = unpack_version(pack_version(version))
    for store, version in ledger.store_scopes.items():
        fresh.store_scopes[store] = unpack_version(pack_version(version))
    subjects = dict.fromkeys((*ledger.owned, *ledger.links, *ledger.subject_scopes))
    for processor, subject in subjects:
        row = pack(_NAMES, processor, registers_of(ledger, (processor, subject)))
        load_row(fresh, _NAMES, processor, subject, row)
    for key in subjects:
        fresh.touch(key)  # now that every link is known
    for slot, fact in ledger.slots.items():
        if fact.place is None:  # an empty named slot is nobody's, and has a row of its own
            fresh.slots[slot] = fact
    fresh.settle()
    return fresh


# -- the past --------------------------------------------------------------------------------


def _instants_differ(facts: Sequence[StorageFact], said: Truth) -> list[str]:
    found: list[str] = []
    for instant, want in said.counts.items():
        have = numbers(as_of(facts, instant, research))
        if have != want:
            found.append(f"as of {instant}: the ledger says {have}, the truth is {want}")
    return found


def _reaches_differ(facts: Sequence[StorageFact], rnd: Random, said: Truth) -> list[str]:
    """Ask for each threshold once, about half of them after an instant that somebody named."""
    found: list[str] = []
    for processor in PROCESSORS:
        after = facts[int(rnd.random() * len(facts))].at + int(rnd.random() * 3) - 1
        wanted: list[tuple[int, Instant | None]] = [
            (n, after if rnd.random() < 0.5 else None) for n in THRESHOLDS
        ]
        timeline = said.numbers(processor)
        history_ = look_back(facts, processor, wanted, research)
        top = (history_.peak, history_.last_at)
        highest = _highest(timeline, None if any(at is None for _, at in wanted) else after)
        found += _differ(f"peak of {processor}", top, (highest, max(timeline)))
        for n, since in wanted:
            point, at = history_.reaches[n], first_reach(timeline, n, since)
            have = None if point is None else tuple(point)
            want = None if at is None else (at, timeline[at])
            found += _differ(f"{processor} reaches {n} after {since}", have, want)
    return found


def _highest(timeline: Mapping[Instant, int], since: Instant | None) -> int:
    """Return the highest number, from the one at *since* on if that is given."""
    if since is None:
        return max(timeline.values())
    before = [at for at in timeline if at <= since]
    start = timeline[max(before)] if before else 0
    return max([start, *(number for at, number in timeline.items() if at > since)])


def wrong_truth(facts: Sequence[StorageFact], said: Truth | None = None) -> list[str]:
    """Return where ``histories_truth`` is not what the brute force of ``tests/oracle.py`` says."""
    said = said or truth(facts)
    found = []
    for instant, have in said.counts.items():
        want = oracle.stock(facts, research, instant)
        if have != want:
            found.append(f"the truth as of {instant} is {have}, by brute force {want}")
    for processor in PROCESSORS:
        timeline = said.numbers(processor)
        for n in THRESHOLDS:
            for after in (None, *timeline):
                have_at = first_reach(timeline, n, after)
                want_at = oracle.first_reach(timeline, n, after)
                if have_at != want_at:
                    found.append(f"first reach of {n} after {after}: {have_at}, not {want_at}")
    return found
