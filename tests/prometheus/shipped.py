"""What is shipped for Prometheus and Alertmanager, as values: the rules and their tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conftest import REPOSITORY

FOLDER: Final = REPOSITORY / "deploy" / "prometheus"
RULES: Final = sorted((FOLDER / "rules").glob("*.yml"))
FALLBACK: Final = sorted((FOLDER / "fallback").glob("*.yml"))
CASES: Final = sorted((REPOSITORY / "tests" / "prometheus").glob("*.test.yml"))
ALERTMANAGER: Final = REPOSITORY / "deploy" / "alertmanager" / "alertmanager.yml"
RUNBOOKS: Final = REPOSITORY / "docs" / "runbooks"

OF_PROCESSES: Final = {
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}
# Of the programs that bring an alert on: Prometheus and Alertmanager themselves.
OF_THE_LAST_MILE: Final = {
    "alertmanager_notifications_failed_total",
    "prometheus_notifications_dropped_total",
    "prometheus_rule_evaluation_failures_total",
}
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. ``metrics`` are those that it reads, behind recorded ones too."""

    name: str
    expr: str
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    metrics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Case:
    """One question of a rule test: whether *alert* fires, with *inputs* scraped."""

    alert: str
    fires: bool
    inputs: frozenset[str]


@cache
def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules(*paths: Path) -> list[dict[str, Any]]:
    """Return every rule of *paths*, recording ones too."""
    return [rule for path in paths for group in loaded(path)["groups"] for rule in group["rules"]]


@cache
def recorded() -> dict[str, str]:
    """Return the expression of each recorded metric."""
    return {rule["record"]: rule["expr"] for rule in rules(*RULES) if "record" in rule}


@cache
def metrics_in(expression: str) -> frozenset[str]:
    """Return the names of the metrics of an expression, with what recorded ones are made of."""
    known = recorded()
    found: set[str] = set()
    for name in named_in(expression):
        found |= metrics_in(known[name]) if name in known else {_SUFFIX.sub("", name)}
    return frozenset(found)


def named_in(expression: str) -> set[str]:
    """Return the names of the metrics that stand in an expression, recorded ones as such."""
    bare = re.sub(r'"[^"]*"', "", expression)
    ours = r"(?:\w+:facetally_\w+(?::\w+)?|facetally(?::\w+)+|facetally_\w+|process_\w+"
    ours += r"|\b(?:alertmanager|prometheus)_\w+|\bup\b)"
    return set(re.findall(ours, bare))


def alerts(*paths: Path) -> list[Alert]:
    return [
        Alert(
            name=rule["alert"],
            expr=rule["expr"],
            severity=rule["labels"]["severity"],
            labels=rule["labels"],
            annotations=rule["annotations"],
            metrics=metrics_in(rule["expr"]),
        )
        for rule in rules(*paths)
        if "alert" in rule
    ]


@cache
def cases() -> tuple[Case, ...]:
    """Return every question of every rule test."""
    found: list[Case] = []
    for path in CASES:
        for test in loaded(path)["tests"]:
            inputs = frozenset(
                _SUFFIX.sub("", one["series"].partition("{")[0]) for one in test["input_series"]
            )
            found += [
                Case(one["alertname"], bool(one.get("exp_alerts")), inputs)
                for one in test["alert_rule_test"]
            ]
    return tuple(found)


def snake(name: str) -> str:
    """Return ``worker_down`` of ``FacetallyWorkerDown``: the name of its runbook."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name.removeprefix("Facetally")).lower()
