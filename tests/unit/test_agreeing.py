"""What two settings have to have the same, and how it is said in what they differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

import pytest

from monitor.agreeing import Agreed, agreed
from monitor.marks import Marks, SystemMark
from monitor.rules import SHIPPED, with_overrides

LAB = SystemMark(processor="acme", system="lab", research=True, reason="training", by="office")
VISITORS = SystemMark(processor="acme", system="lab", gallery="visitors")
TOPICS: Mapping[str, Mapping[str, object]] = {"faces": {"source": "cloudevents"}}


def settings(
    *marks: SystemMark,
    topics: Mapping[str, Mapping[str, object]] = TOPICS,
    own: Mapping[str, object] = MappingProxyType({}),
    others: Mapping[str, object] = MappingProxyType({}),
    **of_filing: object,
) -> Agreed:
    changed = [{"id": "frt.file", **of_filing}] if of_filing else []
    changed += [{"id": "own", "addressee": "us", **own}] if own else []
    return agreed(with_overrides(SHIPPED, changed), Marks(marks), topics, others)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (settings(LAB, at_least=50), ["rule frt.file", "rule frt.file.legacy"]),
        (settings(LAB, count_trigger_day=True), ["rule frt.file"]),
        (settings(LAB, enabled=False), ["rule frt.file", "rule frt.file.legacy"]),
        (settings(), ["system 'lab' of 'acme'"]),
        (settings(LAB, VISITORS), ["system 'lab' of 'acme' gallery 'visitors'"]),
        (
            settings(LAB, SystemMark(processor="acme", system="pay", namespace="shared/city")),
            ["system 'pay' of 'acme'"],
        ),
        (settings(LAB, topics={}), ["topic faces"]),
        (settings(LAB, topics={"faces": {"source": "other"}}), ["topic faces"]),
        (settings(LAB, topics={**TOPICS, "b": {}}), ["topic b"]),
    ],
)
def test_what_differs_is_named_and_has_another_fingerprint(other: Agreed, said: list[str]) -> None:
    ours = settings(LAB)

    assert [str(one) for one in other.after(ours)] == said
    assert other.fingerprint != ours.fingerprint


def test_what_makes_no_difference_has_the_same_fingerprint() -> None:
    told_otherwise = SystemMark(
        processor="acme", system="lab", research=True, reason="another", by="another"
    )
    plain = SystemMark(processor="acme", system="gate")
    same = SystemMark(processor="acme", system="lab", gallery="g", research=True)
    ours = settings(LAB)
    for other in (
        settings(told_otherwise),
        settings(plain, LAB),
        settings(LAB, same),
        settings(LAB, addressee="somebody else"),
    ):
        assert other.after(ours) == []
        assert other.fingerprint == ours.fingerprint


EVENT: Mapping[str, object] = {"measure": "event", "event": "impact.assessed", "period": 3}
EXTERNAL: Mapping[str, object] = {
    "measure": "external",
    "number": "pi.individuals",
    "at_least": 9,
    "period": 30,
}
AT_THE_LATEST: Mapping[str, object] = {
    "measure": "external",
    "number": "pi.individuals",
    "at_least": 9,
    "unit": "fixed_date",
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (EVENT, {**EVENT, "event": "impact.graded"}),
        (EVENT, {**EVENT, "period": 4}),
        (EVENT, {**EVENT, "unit": "years"}),
        (EVENT, {**EVENT, "latch": True}),
        ({**EVENT, "unit": "years"}, {**EVENT, "unit": "years", "keeps": True}),
        (EXTERNAL, {**EXTERNAL, "number": "pi.minors"}),
        (EXTERNAL, {**EXTERNAL, "comparator": ">"}),
        ({**EXTERNAL, "unit": "years"}, {**EXTERNAL, "unit": "years", "recurring": True}),
        (
            {**AT_THE_LATEST, "fixed_date": date(2026, 1, 1)},
            {**AT_THE_LATEST, "fixed_date": date(2026, 1, 2)},
        ),
        (EVENT, {**EVENT, "since": date(2026, 1, 1)}),
        (EVENT, {**EVENT, "enabled": False}),
    ],
)
def test_all_of_a_rule_that_changes_a_duty_makes_a_difference(
    before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    differences = settings(own=after).after(settings(own=before))

    assert [str(one) for one in differences] == ["rule own"]


def test_what_decides_what_is_told_or_proposed_makes_a_difference() -> None:
    (found,) = settings(others={"far_percent": 30}).after(settings(others={"far_percent": 20}))

    assert str(found) == "setting far_percent"
    assert (found.before, found.after) == (20, 30)


def test_a_difference_says_what_was_and_what_is() -> None:
    (found,) = settings(VISITORS, LAB).after(settings(LAB))

    assert (found.before, found.after) == (
        None,
        {"purpose": "operation", "namespace": "default"},
    )
