"""What the violent tests share: the parent process of commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.command import Forker


@pytest.fixture(scope="session")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as running:
        yield running
