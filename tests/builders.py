"""Short words for facts, so that a test reads as the history it tells.

Instants are small integers (microseconds since 1970); a fact of a ``time`` store takes its version
from its instant and sequence, one of a ``log`` store is told its position.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import permutations

from monitor.facts import (
    UNNAMED,
    Enrolled,
    FaceHash,
    Linked,
    Order,
    Place,
    Purged,
    Removed,
    StorageFact,
    Store,
    SubjectHash,
    SubjectRemoved,
    Truncated,
    Version,
)
from monitor.ledger import Ledger
from tests import oracle

ACME, BETA = "acme", "beta"
GATE = Place(ACME, "gate", "")
GATE_VIP = Place(ACME, "gate", "vip")
PAY = Place(ACME, "pay", "")
LAB = Place(ACME, "lab", "")
BETA_GATE = Place(BETA, "gate", "")

TABLE = Store("db.public.face", Order.LOG)
OTHER_TABLE = Store("db.public.face_archive", Order.LOG)
SHARED = Store("terminals", Order.TIME)


def hashed(name: str) -> bytes:
    """Return a 16-byte stand-in for what ``Identity`` makes of *name*."""
    return blake2b(name.encode(), digest_size=16).digest()


ANN, BOB, CY = hashed("ann"), hashed("bob"), hashed("cy")
LOW, HIGH = b"\x01" * 16, b"\xfe" * 16
LEFT, RIGHT = hashed("left"), hashed("right")


def gallery_store(place: Place) -> Store:
    """Return the store that a gallery is by default."""
    return Store("/".join(place), Order.TIME)


def research_is_lab(place: Place) -> bool:
    return place.system == "lab"


def nothing_is_research(_place: Place) -> bool:
    return False


def enrolled(
    subject: SubjectHash,
    at: int,
    sequence: int = 0,
    *,
    face: FaceHash = UNNAMED,
    place: Place = GATE,
    store: Store | None = None,
) -> Enrolled:
    version = Version(at, sequence, 0)
    return Enrolled(store or gallery_store(place), face, place, subject, version, at, at)


def removed(
    subject: SubjectHash,
    at: int,
    sequence: int = 0,
    *,
    place: Place = GATE,
    store: Store | None = None,
) -> Removed:
    """Empty the unnamed slot of *subject*."""
    version = Version(at, sequence, 0)
    return Removed(store or gallery_store(place), UNNAMED, place, subject, version, at, at)


def face_removed(face: FaceHash, at: int, sequence: int = 0, *, store: Store) -> Removed:
    """Empty a named slot, whoever owns it."""
    return Removed(store, face, None, None, Version(at, sequence, 0), at, at)


def subject_removed(
    subject: SubjectHash,
    at: int,
    sequence: int = 0,
    *,
    processor: str = ACME,
    system: str | None = None,
    gallery: str | None = None,
) -> SubjectRemoved:
    version = Version(at, sequence, 0)
    return SubjectRemoved(processor, system, gallery, subject, version, at)


def purged(
    at: int,
    sequence: int = 0,
    *,
    processor: str = ACME,
    system: str = "gate",
    gallery: str | None = None,
) -> Purged:
    return Purged(processor, system, gallery, Version(at, sequence, 0), at)


def linked(
    subject: SubjectHash,
    individual: SubjectHash | None,
    at: int,
    sequence: int = 0,
    *,
    processor: str = ACME,
) -> Linked:
    return Linked(processor, subject, individual, Version(at, sequence, 0), at)


def row(
    face: FaceHash,
    subject: SubjectHash,
    position: tuple[int, int, int],
    at: int,
    *,
    read_at: int | None = None,
    place: Place = GATE,
    store: Store = TABLE,
) -> Enrolled:
    """Return a row of a table as its change log tells it; *position* is (epoch, c, l)."""
    version = Version(*position)
    return Enrolled(store, face, place, subject, version, at, at if read_at is None else read_at)


def row_deleted(
    face: FaceHash, position: tuple[int, int, int], at: int, *, store: Store = TABLE
) -> Removed:
    return Removed(store, face, None, None, Version(*position), at, at)


def truncated(position: tuple[int, int, int], at: int, *, store: Store = TABLE) -> Truncated:
    return Truncated(store, Version(*position), at)


def numbers(ledger: Ledger) -> dict[str, oracle.Count]:
    """Return the stock as the oracle writes it: without processors and systems that are empty."""
    counts = {
        processor: oracle.Count(
            stock.individuals, stock.research, {s: n for s, n in stock.systems.items() if n}
        )
        for processor, stock in ledger.stock.items()
    }
    return {processor: total for processor, total in counts.items() if total != oracle.NOBODY}


def folded(*facts: StorageFact) -> Ledger:
    """Return the settled ledger of *facts*; the system ``lab`` is research."""
    ledger = Ledger(research_is_lab)
    ledger.apply_all(facts)
    return ledger


def folded_singly(*facts: StorageFact) -> Ledger:
    """Return the ledger of *facts*, settled after each."""
    ledger = Ledger(research_is_lab)
    for fact in facts:
        ledger.apply_all([fact])
    return ledger


def individuals(processor: str, *facts: StorageFact) -> int:
    """Return the number after *facts*, having seen that neither order nor batches change it."""
    found = {
        count(fold(*order), processor)
        for order in permutations(facts)
        for fold in (folded, folded_singly)
    }

    assert len(found) == 1
    return found.pop()


def count(ledger: Ledger, processor: str) -> int:
    stock = ledger.stock.get(processor)
    return stock.individuals if stock else 0
