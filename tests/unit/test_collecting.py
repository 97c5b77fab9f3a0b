"""One thread collects, however many commands one process runs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from deploy.collecting import collect_seldom


@pytest.fixture
def collecting() -> Iterator[None]:
    """Whatever a test does to the collector, the others have it as it is."""
    enabled = gc.isenabled()
    yield
    gc.unfreeze()
    if enabled:
        gc.enable()


@pytest.mark.usefixtures("collecting")
def test_a_process_has_one_thread_that_collects_whatever_it_runs() -> None:
    for _ in range(3):
        collect_seldom()

    assert [thread.name for thread in threading.enumerate()].count("garbage") == 1
