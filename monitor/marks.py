"""What the settings say of a system or gallery: its purpose and its namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitor.facts import Place
from monitor.identity import DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMark:
    """One ``[[systems]]`` entry. *gallery* None means all galleries of the system."""

    processor: str
    system: str
    gallery: str | None = None
    research: bool = False
    reason: str = ""
    by: str = ""
    namespace: str = DEFAULT_NAMESPACE


class Marks:
    """Answers for every place, by default operation in the processor's default namespace."""

    def __init__(self, marks: Iterable[SystemMark] = ()) -> None:
        self.rows = tuple(marks)
        self._research = {
            (mark.processor, mark.system, mark.gallery) for mark in self.rows if mark.research
        }
        self.namespaces: Mapping[tuple[str, str], str] = {
            (mark.processor, mark.system): mark.namespace
            for mark in self.rows
            if mark.gallery is None  # a namespace belongs to a whole system
        }

    def research(self, place: Place) -> bool:
        """Tell whether *place* is outside the statutory number (Art. 2)."""
        whole = (place.processor, place.system, None)
        return bool(self._research) and (place in self._research or whole in self._research)

    def namespace(self, processor: str, system: str | None) -> str:
        """Return the namespace of *system*; None means the processor's default one."""
        if system is None:
            return DEFAULT_NAMESPACE
        return self.namespaces.get((processor, system), DEFAULT_NAMESPACE)

    def why(self, place: Place) -> SystemMark | None:
        """Return the mark that makes *place* research, for the audit log."""
        for mark in self.rows:
            here = (mark.processor, mark.system) == place[:2]
            if mark.research and here and mark.gallery in {None, place.gallery}:
                return mark
        return None
