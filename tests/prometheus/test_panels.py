"""Panels of one number: 0 is shown where it is known to be 0, and nothing where nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.grafana.panels import ROWS, Query
from tests.services.prometheus import Promtool

UNREACHED: Final = "People and steps that nothing reaches"
ASKED: Final = {
    panel.title: panel.queries
    for row in ROWS
    for panel in row.panels
    if panel.title in {"Unverified numbers", "Overdue duties", "Alerts firing", UNREACHED}
}
# One number that is not verified, one duty overdue, one of each that nothing reaches.
FAULTS: Final = (
    'facetally_verified{instance="a",processor="acme"}',
    'facetally_duties_overdue{instance="a"}',
    'facetally_responder_unreachable{instance="a",responder="ann"}',
    'facetally_escalation_step_unreachable{instance="a",escalation="on_call",step="1"}',
)
READABLE: Final = 'facetally_ledger_readable{instance="a"}'
WATCHDOG: Final = 'ALERTS{alertname="FacetallyWatchdog",alertstate="firing",severity="none"}'


def complaints(
    promtool: Promtool, home: Path, series: dict[str, str], wanted: dict[str, float | None]
) -> str:
    """Return what promtool says if the queries of *wanted* do not give that, or nothing at all."""
    questions = [
        {
            "expr": query.expr,
            "eval_time": "2m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for title, value in wanted.items()
        for query in ASKED[title]
    ]
    inputs = [{"series": name, "values": f"{value}x5"} for name, value in series.items()]
    tests: list[dict[str, Any]] = [{"input_series": inputs, "promql_expr_test": questions}]
    file = home / "panels.test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    return promtool.test_rules(file)


def test_what_is_wrong_is_counted(tmp_path: Path, promtool: Promtool) -> None:
    faults = dict(zip(FAULTS, ("0", "1", "1", "1"), strict=True))
    fires = 'ALERTS{alertname="FacetallyWorkerDown",alertstate="firing",severity="page"}'
    series = {**faults, READABLE: "1", WATCHDOG: "1", fires: "1"}

    assert complaints(promtool, tmp_path, series, dict.fromkeys(ASKED, 1)) == ""


def test_where_nothing_is_wrong_it_says_0(tmp_path: Path, promtool: Promtool) -> None:
    series = {READABLE: "1", WATCHDOG: "1"}

    assert complaints(promtool, tmp_path, series, dict.fromkeys(ASKED, 0)) == ""


@pytest.mark.parametrize("readable", [{READABLE: "0"}, {}], ids=["away", "absent"])
def test_without_a_ledger_and_without_rules_it_says_nothing(
    tmp_path: Path, promtool: Promtool, readable: dict[str, str]
) -> None:
    """Three overdue duties must not become a green 0 when the database goes away."""
    assert complaints(promtool, tmp_path, readable, dict.fromkeys(ASKED)) == ""


def test_what_is_kept_in_memory_is_not_shown_when_the_ledger_is_away(
    tmp_path: Path, promtool: Promtool
) -> None:
    series = {**dict(zip(FAULTS[2:], ("0", "0"), strict=True)), READABLE: "0"}

    assert complaints(promtool, tmp_path, series, {UNREACHED: None}) == ""


def test_no_panel_makes_up_a_0() -> None:
    queries: list[Query] = [q for row in ROWS for panel in row.panels for q in panel.queries]

    assert [query.expr for query in queries if "vector(0)" in query.expr] == []
