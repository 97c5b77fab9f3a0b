"""The dashboard: what is committed is what the code makes, and it shows what is exported."""

from __future__ import annotations

import json
import re
from typing import Any

from deploy.grafana.dashboard import FILE, rendered
from deploy.grafana.panels import ROWS
from monitor import measures
from tests.prometheus.shipped import metrics_in

COMMITTED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS = [panel for panel in COMMITTED["panels"] if panel["type"] != "row"]


def test_what_is_committed_is_what_the_code_makes() -> None:
    """``python -m deploy.grafana.dashboard`` writes it anew."""
    assert FILE.read_text(encoding="utf-8") == rendered()


def test_every_metric_that_we_export_is_shown_or_only_alerts() -> None:
    shown = {
        metric
        for row in ROWS
        for panel in row.panels
        for q in panel.queries
        for metric in metrics_in(q.expr)
    }

    assert {spec.name for spec in measures.catalogue()} - shown == {
        # What is shown is how many are kept, and that nothing is left out.
        "facetally_records_read_total",
        "facetally_batches_kept_total",
        "facetally_records_ignored_total",
        "facetally_processors",
        "facetally_channels_reaching",
        "facetally_unverified_topic",
        "facetally_acknowledgement_requests_total",
        "facetally_processors_left_out",
        "facetally_systems_left_out",
        "facetally_duties_left_out",
    }


def test_each_panel_has_a_title_of_its_own_and_says_what_it_means() -> None:
    titles = [panel["title"] for panel in PANELS]

    assert len(set(titles)) == len(titles)
    assert all(panel["description"].endswith(".") for panel in PANELS)


def test_no_panel_lies_over_another() -> None:
    cells = [
        (x, y)
        for panel in COMMITTED["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_gauges_of_the_ledger_are_never_summed_over_processes() -> None:
    """Two alerts processes at once, as in an upgrade, must not double a number."""
    ledger = {spec.name for spec in measures.catalogue("LedgerCollector")}
    joined = re.compile(r"(\b(?:max|min)(?: by \([\w, ]+\))? ?\()?(facetally_\w+)")
    bare = [
        query.expr
        for row in ROWS
        for panel in row.panels
        for query in panel.queries
        for join, name in joined.findall(query.expr)
        if name in ledger and not join
    ]

    assert bare == []
