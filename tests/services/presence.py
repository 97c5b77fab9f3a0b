"""A part that is not there: the test is listed as skipped, with the reason; in CI it fails."""

from __future__ import annotations

import os

import pytest


def require(reason: str | None) -> None:
    """Go on if *reason* is None; else skip the test for that reason, or fail under CI=true."""
    if reason is None:
        return
    if in_ci():
        pytest.fail(f"under CI nothing may be missing: {reason}", pytrace=False)
    pytest.skip(reason)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"true", "1"}
