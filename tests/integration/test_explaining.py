"""What ``explain`` tells of a subject, and what it keeps to itself."""

from __future__ import annotations

from pathlib import Path

from monitor.facts import Enrolled, Order, Place, Store, Version
from monitor.store.engine import reading
from monitor.store.explaining import explain
from tests.integration.store_kit import MARKS, NOW, batch, keeper, sqlite_engine

TABLE = Store("gallery", Order.LOG)
FACE = bytes(15) + b"f"
ANN, BOB = bytes(15) + b"a", bytes(15) + b"b"
ACME, BETA = Place("acme", "gate", ""), Place("beta", "secret-site", "")


def test_a_face_that_went_to_another_owner_does_not_tell_whose_it_is(tmp_path: Path) -> None:
    ours = Enrolled(TABLE, FACE, ACME, ANN, Version(0, 1, 1), NOW, NOW)
    theirs = Enrolled(TABLE, FACE, BETA, BOB, Version(0, 2, 2), NOW + 1, NOW + 1)
    with sqlite_engine(tmp_path) as engine:
        keeper(engine).keep([batch([ours, theirs])])
        with reading(engine) as connection:
            found = explain(connection, MARKS, "acme", ANN)

    assert not found.standing.operation
    assert [(one.elsewhere, one.decides) for one in found.told] == [(False, False), (True, True)]
