from __future__ import annotations

import pytest

from tests.services.presence import require


def test_a_missing_part_skips_its_test_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no broker"):
        require("no broker")


def test_a_missing_part_fails_its_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no broker"):
        require("no broker")
