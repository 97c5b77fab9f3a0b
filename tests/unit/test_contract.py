"""The published contract is what the code says."""

from __future__ import annotations

from deploy.contract import FOLDER, documents


def test_the_published_documents_are_those_of_the_code() -> None:
    published = {name: (FOLDER / name).read_text(encoding="utf-8") for name in documents()}

    assert published == documents(), "run 'python -m deploy.contract'"
