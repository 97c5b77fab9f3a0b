"""The real parts, as fixtures: started once a session, when first asked for.

Where a part is missing its tests are listed as skipped, with the reason; under CI=true they
fail. Nothing is ever tried twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

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

# How long an example takes says more about the machine than about the code.
settings.register_profile("facetally", deadline=None, print_blob=True)
settings.load_profile("facetally")


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
        cluster.close()


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
