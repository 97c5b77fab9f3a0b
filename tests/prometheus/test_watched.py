"""The rules with shorter times prove what ships only if windows and waits keep their proportion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.prometheus.shipped import RULES, recorded, rules
from tests.prometheus.watched import quick_rule, seconds, windows

SHIPPED = recorded()
QUICK = {name: quick_rule({"expr": expr})["expr"] for name, expr in SHIPPED.items()}
BOTH = [one for one in rules(*RULES) if "for" in one and windows(one, SHIPPED)]


def proportion(rule: dict[str, Any], known: dict[str, str]) -> float:
    return seconds(rule["for"]) / max(map(seconds, windows(rule, known)))


@pytest.mark.parametrize("rule", BOTH, ids=lambda rule: rule["alert"])
def test_a_quick_rule_waits_for_as_much_of_its_window_as_the_one_that_ships(
    rule: dict[str, Any],
) -> None:
    ships, quick = proportion(rule, SHIPPED), proportion(quick_rule(rule), QUICK)

    assert quick == pytest.approx(ships, rel=0.15)


def test_the_rules_that_must_outlast_their_window_are_among_them() -> None:
    """One restart, one slow transaction and one failure leave the window before they are told."""
    longer = {one["alert"] for one in BOTH if proportion(one, SHIPPED) > 1}

    assert longer == {
        "FacetallyAlertsDropped",
        "FacetallyChecksFailing",
        "FacetallyReadingStalled",
        "FacetallySenderErrors",
        "FacetallySlowTransactions",
    }
