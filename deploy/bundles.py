"""Opening a bundle, a folder or one file, and checking it: ``facetally audit verify PATH``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from deploy import archive
from monitor.bundle import Verdict
from monitor.bundle_check import verify
from monitor.chain import Checkpoint


class NoBundle(RuntimeError):
    """There is nothing at the path; the message names it."""


class _Folder:
    """The files of a folder. What is no plain file is named, and never opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return sorted(found.name for found in self._path.iterdir() if _is_plain(found))

    def others(self) -> list[str]:
        return sorted(found.name for found in self._path.iterdir() if not _is_plain(found))

    def open(self, name: str) -> BinaryIO:
        return (self._path / name).open("rb")


def _is_plain(found: Path) -> bool:
    return found.is_file() and not found.is_symlink()


def check(path: Path, checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
    """Return what the bundle at *path* is worth. Raises NoBundle, and OSError if it is unreadable.

    Whatever is there is read and judged, however damaged it is.
    """
    if path.is_dir():
        folder = _Folder(path)
        verdict = verify(folder, checkpoints)
        for name in folder.others():
            verdict.note(name, None, "it is no plain file")
        return verdict
    if not path.is_file():
        raise NoBundle(f"there is no bundle at {path}")
    try:
        bundle = archive.Reader(path)
    except archive.Damaged as exc:
        verdict = Verdict()
        verdict.note(path.name, None, str(exc))
        return verdict
    return verify(bundle, checkpoints)
