"""The catalogue of metrics: what Prometheus and those who read it rely on."""

from __future__ import annotations

import re

import pytest

from monitor.measures import INDIVIDUALS, READ, SENT, Spec, catalogue

PLACES = ("LedgerCollector", "WorkerMetrics", "AlertsMetrics")


@pytest.mark.parametrize("spec", catalogue(), ids=lambda spec: spec.name)
def test_a_metric_is_named_and_explained_as_prometheus_wants_it(spec: Spec) -> None:
    assert re.fullmatch(r"facetally_[a-z_]+", spec.name)
    assert (spec.kind == "counter") == spec.name.endswith("_total")
    assert spec.kind in {"counter", "gauge", "histogram"}
    assert spec.sentence.endswith(".")
    assert len(set(spec.labels)) == len(spec.labels)


def test_no_name_is_used_twice() -> None:
    names = [spec.name for spec in catalogue()]

    assert len(set(names)) == len(names)


def test_each_metric_is_exported_by_one_class() -> None:
    parts = [spec for where in PLACES for spec in catalogue(where)]

    assert parts == list(catalogue())
    assert [spec.where for spec in (INDIVIDUALS, READ, SENT)] == list(PLACES)


def test_no_label_could_name_a_person() -> None:
    labels = {label for spec in catalogue() for label in spec.labels}

    assert labels.isdisjoint({"subject", "individual", "person", "face", "name", "id"})
