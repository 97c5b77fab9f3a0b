"""Which duty a person means, and why it can be none: the refusals of what is said by command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, select

from monitor.duties import Duty
from monitor.filings import CLOCKS, FILINGS, Illegal, Life, State, StepKind, Target, family
from monitor.store import schema
from monitor.store.filings_values import NotRecorded
from monitor.superseding import superseded_by

_w = schema.watches.c


class Which:
    """The duties of one processor, with what their steps come to; *left* are the superseded."""

    def __init__(
        self,
        processor: str,
        held: Mapping[Target, Duty],
        lives: Mapping[Target, Life],
        left: Iterable[Target],
        *,
        recount_due: bool,
    ) -> None:
        self._processor, self._held, self._lives = processor, held, lives
        self._left, self._recount_due = frozenset(left), recount_due

    def addressed(self, rule: str, key: str | None, kind: StepKind) -> list[Target]:
        """Return the duties that *rule* and *key* can mean. Raises NotRecorded if there is none.

        A superseded one can be annulled, so that it is never owed again, and nothing else.
        """
        if rule in CLOCKS and key is not None:
            raise NotRecorded(f"{rule} follows from a filing; name that filing's rule and key")
        found = [
            target
            for target in self._lives
            if key in {None, target.key}
            and (
                family(target.rule) in FILINGS
                if rule in CLOCKS
                else family(target.rule) == family(rule)
            )
        ]
        if not found:
            known = listed(self._held) or "none"
            named = f"{rule} {key}" if key is not None else rule
            raise NotRecorded(f"{self._processor} has no duty {named}; its duties are: {known}")
        in_force = [one for one in found if one not in self._left]
        if not in_force and kind is StepKind.ANNULLED and key is not None:
            return found
        if not in_force:
            raise self._superseded(found[0])
        return in_force

    def _superseded(self, target: Target) -> NotRecorded:
        by = superseded_by(self._held[target], list(self._held.values()))
        instead = "none is owed instead yet" if by is None else f"owed instead: {by.rule} {by.key}"
        return NotRecorded(f"{listed([target])} is superseded, and nothing is due by it; {instead}")

    def is_annulled(self, target: Target | None) -> bool:
        """Tell whether a person decided that *target* is not owed."""
        return target is not None and self._lives[target].state is State.ANNULLED

    def legal(self, kind: StepKind, addressed: Sequence[Target], rule: str) -> Target | None:
        """Return the one duty for which *kind* is legal, None if there is none."""
        legal = [one for one in addressed if kind in self._lives[one].legal]
        if len(legal) > 1:
            raise self.several(kind, rule, legal)
        return legal[0] if legal else None

    def several(self, kind: StepKind, rule: str, among: Sequence[Target]) -> NotRecorded:
        """Return the refusal of what can be about each of these duties."""
        return NotRecorded(
            f"{self._processor} has several duties under {rule} that {kind} can be about; say "
            f"which with --key: {listed(among)}"
        )

    def stays_behind(
        self, kind: StepKind, known: Target, takers: Sequence[Target]
    ) -> NotRecorded | None:
        """Return why what the annulled duty *known* has is no answer to who says it again.

        What was told of it before that decision stays there. If another duty can take it, or may
        be about to open, nobody may believe that this one has it. None: it is known already.
        """
        if not self.is_annulled(known):
            return None
        if takers:
            return NotRecorded(
                f"{listed([known])} is annulled, and this {kind} was told of it; if it is about "
                f"another duty, say which with --key: {listed(takers)}"
            )
        return self.illegal(kind, [known]) if self._recount_due else None

    def illegal(self, kind: StepKind, addressed: Sequence[Target]) -> NotRecorded:
        """Return the refusal of a step that none of these duties can take now."""
        lives = self._lives
        named = [one for one in addressed if lives[one].ended is None] or addressed
        said = [f"{listed([one])}: {Illegal(lives[one].state, kind)}" for one in named]
        if self._recount_due and all(lives[one].ended is not None for one in named):
            said.append(
                "the history is still to be looked back on, which may open another duty: try "
                "again when 'facetally status' does not say 'being recounted' any more"
            )
        return NotRecorded("; ".join(said))


def is_recount_due(connection: Connection, number: int) -> bool:
    """Tell whether the book of the processor with this *number* is still to be looked back on."""
    due = select(_w.recount_due).where(_w.processor_id == number)
    return bool(connection.scalar(due))


def listed(targets: Iterable[Target]) -> str:
    """Return these duties by rule and key, in words."""
    return ", ".join(f"{one.rule} {one.key}" for one in targets)
