"""What tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.store.engine import Engine
from tests.integration.store_kit import postgres_engine, sqlite_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of the newest schema: each test runs on both."""
    if request.param == "sqlite":
        with sqlite_engine(tmp_path) as made:
            yield made
        return
    with postgres_engine(request.getfixturevalue("postgres_url")) as made:
        yield made
