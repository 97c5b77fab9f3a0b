"""What two settings have to have the same, and how it is said in what they differ."""

from __future__ import annotations

from collections.abc import Mapping

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
    **of_filing: object,
) -> Agreed:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", **of_filing}]) if of_filing else SHIPPED
    return agreed(rules, Marks(marks), topics)


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


def test_a_difference_says_what_was_and_what_is() -> None:
    (found,) = settings(VISITORS, LAB).after(settings(LAB))

    assert (found.before, found.after) == (
        None,
        {"purpose": "operation", "namespace": "default"},
    )
