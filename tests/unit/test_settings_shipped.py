"""The settings that ship for units and compose: as they are, and with their marks taken away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alerts.acknowledging import AckSettings
from deploy.settings import Settings, load
from deploy.settings_untold import reaching, unescalated
from monitor.notices import Kind, Notice, Severity
from tests.conftest import REPOSITORY

UNITS = REPOSITORY / "deploy" / "examples" / "systemd" / "facetally.toml"
COMPOSE = REPOSITORY / "deploy" / "compose" / "facetally.toml"
PAGE = Notice(
    key="duty_opened:1", kind=Kind.DUTY_OPENED, severity=Severity.PAGE, created_at=0, processor="a"
)


def unmarked(path: Path, marks: str) -> Settings:
    """Load what ships for the units, as the guide's sed has it after taking *marks* away."""
    (path / "ack-secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    text = re.sub(rf"^#[{marks}] ?", "", UNITS.read_text("utf-8"), flags=re.MULTILINE)
    file = path / "facetally.toml"
    file.write_text(text.replace("/etc/facetally/", f"{path}/"), "utf-8")
    return load(str(file), {})


def test_as_they_are_the_units_tell_the_log_alone() -> None:
    shipped = load(str(UNITS), {})

    assert [one.name for one in shipped.channels] == ["log"]
    assert shipped.acknowledging is None


def test_without_their_marks_pages_go_up_steps_until_somebody_acknowledges(
    tmp_path: Path,
) -> None:
    settings = unmarked(tmp_path, ":")
    (escalation,) = settings.routing.of(PAGE).escalations

    assert reaching(settings.channels) == ["alertmanager"]
    assert len(escalation.steps) == 2
    assert escalation.repeat == 3_600_000_000
    assert unescalated(settings.routing) == []
    assert settings.acknowledging is None


def test_without_their_marks_a_page_stands_in_the_journal_still(tmp_path: Path) -> None:
    settings = unmarked(tmp_path, ":")

    assert settings.routing.of(PAGE).channels == {"log"}


@pytest.mark.parametrize("marks", ["?", ":?"])
def test_acknowledgements_are_heard_on_this_machine_alone(tmp_path: Path, marks: str) -> None:
    heard = unmarked(tmp_path, marks).acknowledging

    assert isinstance(heard, AckSettings)
    assert heard.address.startswith("127.0.0.1:")


def test_pages_of_the_compose_file_go_up_steps_too() -> None:
    settings = load(str(COMPOSE), {})

    assert len(settings.routing.of(PAGE).escalations) == 1
    assert unescalated(settings.routing) == []
