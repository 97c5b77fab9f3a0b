"""The published contract is what the code says."""

from __future__ import annotations

from deploy.contract import FOLDER, documents
from monitor.rules import COUNTED, HEARD
from streams.adapters.contract import KINDS


def test_the_published_documents_are_those_of_the_code() -> None:
    published = {name: (FOLDER / name).read_text(encoding="utf-8") for name in documents()}

    assert published == documents(), "run 'python -m deploy.contract'"


def test_what_no_rule_can_be_about_is_all_that_the_contract_only_counts() -> None:
    kinds = {name.removeprefix("facetally.") for name in KINDS}
    filings = {kind for kind in kinds if kind.startswith("filing.")}

    assert kinds - filings - HEARD == COUNTED
