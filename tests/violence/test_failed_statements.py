"""Each statement fails, in each way in which a database can say no; the process lives on.

Stall, never skip: the product's own loops try again until it is done, nothing is half kept, and a
commit whose outcome nobody learned is not made twice. In ``make check`` every statement fails once
for each kind (on PostgreSQL for three of them), the failures one after another in one run; in full
size for every kind on both, and also each in a run alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.figures import FULL, report, sized
from tests.services.postgres import Postgres
from tests.violence.crash_driver import LANES
from tests.violence.failing import KINDS, UNKNOWN
from tests.violence.failing_lanes import FailingWork, Failures, each_statement, single_statements

SHOWN = 5
# On PostgreSQL the server raises these itself, at half a minute a kind: the session goes, the
# transaction goes, the answer goes. The other three differ from the second by their number only.
FEWER = ("connection lost", "serialization failure", UNKNOWN)


def _in_lanes(work: FailingWork, urls: Sequence[str | None], *arguments: object) -> Failures:
    lanes = len(urls)
    with ProcessPoolExecutor(lanes, get_context("spawn")) as pool:
        jobs = [pool.submit(work, url, n, lanes, *arguments) for n, url in enumerate(urls)]
        parts = [job.result() for job in jobs]
    found = Failures(points=max(part.points for part in parts))
    failed: Counter[str] = Counter()
    for part in parts:
        found.wrong += part.wrong
        failed.update(part.failed)
    found.failed = dict(failed)
    return found


def _told(name: str, began: float, found: Failures) -> None:
    failed = {kind.replace(" ", "_"): count for kind, count in sorted(found.failed.items())}
    seconds = round(time.monotonic() - began, 1)
    report(name, statements=found.points, seconds=seconds, **failed)


@pytest.mark.timeout(3600)
def test_every_statement_may_fail_in_every_way_on_sqlite() -> None:
    began = time.monotonic()

    found = _in_lanes(each_statement, [None] * LANES, KINDS)
    _told("failed_statements_sqlite", began, found)

    assert found.wrong[:SHOWN] == []
    assert sorted(found.failed) == sorted(KINDS)


@pytest.mark.timeout(3600)
def test_every_statement_may_fail_in_every_way_on_postgresql(postgres: Postgres) -> None:
    began = time.monotonic()

    kinds = KINDS if FULL else FEWER
    found = _in_lanes(each_statement, [postgres.database() for _ in range(LANES)], kinds)
    _told("failed_statements_postgresql", began, found)

    assert found.wrong[:SHOWN] == []
    assert sorted(found.failed) == sorted(kinds)


@pytest.mark.timeout(7200)
def test_a_single_statement_may_fail_on_sqlite() -> None:
    began = time.monotonic()

    found = _in_lanes(single_statements, [None] * LANES, sized(150, 1))
    _told("failed_single_statements_sqlite", began, found)

    assert found.wrong[:SHOWN] == []
    assert all(found.failed.values())


@pytest.mark.timeout(7200)
def test_a_single_statement_may_fail_on_postgresql(postgres: Postgres) -> None:
    began = time.monotonic()

    urls = [postgres.database() for _ in range(LANES)]
    found = _in_lanes(single_statements, urls, sized(400, 7))
    _told("failed_single_statements_postgresql", began, found)

    assert found.wrong[:SHOWN] == []
    assert sum(found.failed.values()) >= len(KINDS) - 1
