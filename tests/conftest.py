"""The real parts, as fixtures: started once a session, when first asked for.

Where a part is missing its tests are listed as skipped, with the reason; under CI=true they
fail. Nothing is ever tried twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from signal import SIGQUIT
from typing import Final

import pytest
from hypothesis import settings

from tests.services import alertmanager as alertmanagers
from tests.services import kafka as kafkas
from tests.services import postgres as postgreses
from tests.services import prometheus
from tests.services.alertmanager import Alertmanager
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.presence import require
from tests.services.prometheus import Promtool

REPOSITORY = Path(__file__).parents[1]

# The files that take minutes, and then folder by folder: of two processes that share the files in
# this order, neither is left alone with a long one at the end.
LONGEST: Final = (
    "prometheus/test_end_to_end.py",
    "violence/test_histories.py",
    "violence/test_process_faults.py",
    "violence/test_log_faults.py",
    "violence/test_unverified.py",
    "violence/test_crash_commands.py",
    "acceptance/test_kills.py",
    "acceptance/test_recordings_apply.py",
    "prometheus/test_last_mile.py",
    "unit/test_ten_years.py",
)
FOLDERS: Final = ("violence", "acceptance", "prometheus", "integration", "unit")

# How long an example takes says more about the machine than about the code.
settings.register_profile("facetally", deadline=None, print_blob=True)
settings.load_profile("facetally")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; within a file nothing changes its place."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> tuple[int, str]:
    name = path.relative_to(REPOSITORY / "tests").as_posix()
    folder = name.partition("/")[0]
    if name in LONGEST:
        return LONGEST.index(name), name
    known = FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
    return len(LONGEST) + known, name


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One broker for all tests, which keep to topics and groups of their own names."""
    require(kafkas.available())
    broker = Kafka()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One cluster for all tests, which take a database of their own each."""
    require(postgreses.available())
    cluster = Postgres()
    try:
        cluster.start()
        yield cluster
    finally:
        # A thousand databases take minutes to remove: the guardian does it when all is said.
        cluster.stop(SIGQUIT)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """An empty PostgreSQL database of the test's own."""
    return postgres.database()


@pytest.fixture(scope="session")
def alertmanager() -> Iterator[Alertmanager]:
    """One Alertmanager for all tests, which keep to labels of their own."""
    require(alertmanagers.available())
    running = Alertmanager()
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    require(prometheus.available())
    return Promtool()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The directory of real recorded change streams; its README tells what they are."""
    chosen = os.environ.get("FACETALLY_RECORDINGS")
    place = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "recordings"
    found = place.is_dir()
    require(None if found else "no recordings: FACETALLY_RECORDINGS does not name a directory")
    return place
