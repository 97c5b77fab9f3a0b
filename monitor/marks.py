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
    """Answers for every place, by default operation in the processor's default namespace.

    The mark of a gallery wins over that of its system; of two for one place the first one.
    """

    def __init__(self, marks: Iterable[SystemMark] = ()) -> None:
        self.rows = tuple(marks)
        self._by_place: Mapping[tuple[str, str, str | None], SystemMark] = {
            (mark.processor, mark.system, mark.gallery): mark for mark in reversed(self.rows)
        }
        self.namespaces: Mapping[tuple[str, str], str] = {
            (mark.processor, mark.system): mark.namespace
            for mark in self.rows
            if mark.gallery is None  # a namespace belongs to a whole system
        }

    def research(self, place: Place) -> bool:
        """Tell whether *place* is outside the statutory number (Art. 2)."""
        mark = self.why(place)
        return mark is not None and mark.research

    def namespace(self, processor: str, system: str | None) -> str:
        """Return the namespace of *system*; None means the processor's default one."""
        if system is None:
            return DEFAULT_NAMESPACE
        return self.namespaces.get((processor, system), DEFAULT_NAMESPACE)

    def why(self, place: Place) -> SystemMark | None:
        """Return the mark that decides what *place* is, if any; for the audit log, too."""
        if not self._by_place:
            return None
        own = self._by_place.get((place.processor, place.system, place.gallery))
        return own or self._by_place.get((place.processor, place.system, None))
