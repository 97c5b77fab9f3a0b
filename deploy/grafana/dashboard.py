"""The Grafana dashboard, made of ``panels.py`` with Grafana's own SDK.

``python -m deploy.grafana.dashboard`` writes ``facetally.json`` anew; the SDK is a development
dependency, so nothing that runs in production imports this. The same code makes the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.panels import ROWS, Kind, Panel, Query

FILE: Final = Path(__file__).with_name("facetally.json")

_SOURCE: Final = "${datasource}"
_HEIGHTS: Final = {Kind.LINES: 8, Kind.NUMBER: 4, Kind.TABLE: 8}

AnyPanel: TypeAlias = timeseries.Panel | stat.Panel | table.Panel


def rendered() -> str:
    """Return the dashboard as JSON, to be kept in ``FILE``."""
    return JSONEncoder(sort_keys=True, indent=2).encode(_dashboard().build()) + "\n"


def _dashboard() -> builders.Dashboard:
    made = (
        builders.Dashboard("facetally")
        .uid("facetally")
        .description("Stored individuals, duties, and the health of facetally itself")
        .tags(["facetally"])
        .timezone("Asia/Shanghai")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .with_variable(builders.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_processors())
    )
    for row in ROWS:
        made = made.with_row(builders.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel))
    return made


def _processors() -> builders.QueryVariable:
    return (
        builders.QueryVariable("processor")
        .datasource(_source())
        .query("label_values(facetally_individuals, processor)")
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _panel(panel: Panel) -> AnyPanel:
    made: AnyPanel
    match panel.kind:
        case Kind.LINES:
            made = timeseries.Panel().fill_opacity(8)
        case Kind.NUMBER:
            made = stat.Panel().thresholds(_thresholds(panel))
        case Kind.TABLE:
            made = table.Panel()
    made.title(panel.title).description(panel.description).unit(panel.unit)
    made.datasource(_source()).height(_HEIGHTS[panel.kind]).span(panel.width)
    for number, query in enumerate(panel.queries):
        made.with_target(_query(query, chr(ord("A") + number), panel.kind))
    return made


def _query(query: Query, name: str, kind: Kind) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).ref_id(name).legend_format(query.legend)
    if kind is Kind.LINES:
        return made.range()
    if kind is Kind.TABLE:
        made.format(PromQueryFormat.TABLE)
    return made.instant()


def _thresholds(panel: Panel) -> builders.ThresholdsConfig:
    below, above = ("green", "red") if panel.low is None else ("red", "green")
    steps = [
        models.Threshold(value=None, color=below),
        models.Threshold(value=panel.red if panel.low is None else panel.low, color=above),
    ]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _source() -> models.DataSourceRef:
    return models.DataSourceRef(type_val="prometheus", uid=_SOURCE)


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {sum(len(row.panels) for row in ROWS)} panels\n")
