"""What all processes that write into one database must have the same: rules, marks, topics.

Two that have not would settle what the other asked for, each by its own number, or open a duty
that the other rightly waits with. Pure; who compares is ``monitor.store.agreement``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

from monitor.chain import canonical
from monitor.identity import DEFAULT_NAMESPACE
from monitor.marks import Marks
from monitor.rules import Rule

_ONLY_WORDS = frozenset({"addressee", "source"})  # of a rule: no number or day hangs on them


class Difference(NamedTuple):
    """One thing that two settings say otherwise; None where one of them says nothing of it."""

    what: str
    name: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.what} {self.name}"


@dataclass(frozen=True, slots=True)
class Agreed:
    """What some settings say of numbers and duties, as canonical JSON. It holds no secret."""

    text: str

    @property
    def fingerprint(self) -> str:
        """The same 32 hex digits for the same settings, in whatever order they are written."""
        return blake2b(self.text.encode(), digest_size=16).hexdigest()

    def after(self, before: Agreed) -> list[Difference]:
        """Return in what these settings differ from those *before* them."""
        old, new = json.loads(before.text), json.loads(self.text)
        return [
            Difference(what, name, _of(old, what, name), _of(new, what, name))
            for what in sorted(old.keys() | new.keys())
            for name in sorted(old.get(what, {}).keys() | new.get(what, {}).keys())
            if _of(old, what, name) != _of(new, what, name)
        ]


def agreed(
    rules: Iterable[Rule],
    marks: Marks,
    topics: Mapping[str, Mapping[str, object]],
    others: Mapping[str, object] = MappingProxyType({}),
) -> Agreed:
    """Return what these settings say; *topics* has what is said of each, as plain values.

    *others* are the settings beside rules that decide what is told or proposed, by their names.
    """
    said = {
        "rule": {rule.id: _rule(rule) for rule in rules if rule.enabled},
        "system": _systems(marks),
        "topic": {name: dict(topic) for name, topic in topics.items()},
        "setting": dict(others),
    }
    return Agreed(canonical(said))


def _of(said: Mapping[str, Any], what: str, name: str) -> object:
    return said.get(what, {}).get(name)


def _rule(rule: Rule) -> dict[str, object]:
    """Return the fields that are set; days as texts."""
    return {
        name: value if isinstance(value, (str, int)) else str(value)
        for name, value in asdict(rule).items()
        if value is not None and name not in _ONLY_WORDS
    }


def _systems(marks: Marks) -> dict[str, dict[str, object]]:
    """Return the marks that make a difference, by a name that no other place has."""
    whole = {(m.processor, m.system): m.research for m in marks.rows if m.gallery is None}
    found: dict[str, dict[str, object]] = {}
    for mark in marks.rows:
        name = f"{mark.system!r} of {mark.processor!r}"
        default = (False, DEFAULT_NAMESPACE)
        if mark.gallery is not None:
            name += f" gallery {mark.gallery!r}"
            default = (whole.get((mark.processor, mark.system), False), mark.namespace)
        if (mark.research, mark.namespace) != default:
            purpose = "research" if mark.research else "operation"
            found[name] = {"purpose": purpose, "namespace": mark.namespace}
    return found
