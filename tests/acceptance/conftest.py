"""What the acceptance tests share: the parent process of commands, and how far to go."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.command import Forker

EXHAUSTIVE = os.environ.get("FACETALLY_EXHAUSTIVE", "").lower() in {"1", "true"}
"""Run every combination (some minutes more) instead of a choice of them."""


@pytest.fixture(scope="session")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as running:
        yield running
