"""A program under the system call filter of a unit: ``python -m tests.confined UNIT PROGRAM..``.

A real filter, loaded through libseccomp as systemd loads it; what the groups of the unit mean is
asked of systemd-analyze.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_FILTER: Final = re.compile(r"^SystemCallFilter=(~?)(.*)$", re.MULTILINE)
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_OPTIMIZE, _BY_TREE = 8, 2  # hundreds of calls, looked up at each: not one after the other


def available() -> str | None:
    """Return why nothing can be confined here, or None."""
    if shutil.which("systemd-analyze") is None:
        return "no systemd-analyze: Debian's systemd has it"
    if ctypes.util.find_library("seccomp") is None:
        return "no libseccomp: Debian's libseccomp2 has it"
    return None


def allowed(unit: str) -> set[str]:
    """Return the system calls that the text of a unit allows; the first line says what is listed.

    Raises ValueError for a unit whose filter does not begin with what is allowed.
    """
    groups, calls = _groups(), set[str]()
    lines = _FILTER.findall(unit)
    if not lines or lines[0][0]:
        raise ValueError("the unit does not begin with a list of what is allowed")
    for taken, words in lines:
        named = set().union(*(_members(word, groups) for word in words.split()))
        calls = calls - named if taken else calls | named
    return calls


def confine(unit: str) -> None:
    """Let this process, and all that it starts, make no other system calls than *unit* allows."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp"), use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    library.seccomp_attr_set(context, _OPTIMIZE, ctypes.c_uint32(_BY_TREE))
    for name in allowed(unit):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # below: another architecture's, or newer than the library
            done = library.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0)
            if done != 0:
                raise OSError(-done, name)
    done = library.seccomp_load(context)
    if done != 0:
        raise OSError(-done, "seccomp_load")


def _groups() -> dict[str, set[str]]:
    listed = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    groups: dict[str, set[str]] = {}
    members = set[str]()
    for line in listed.splitlines():
        if line.startswith("@"):
            members = groups.setdefault(line.strip(), set())
        elif line.startswith(" ") and not line.lstrip().startswith("#"):
            members.add(line.strip())
    return groups


def _members(word: str, groups: dict[str, set[str]]) -> set[str]:
    if not word.startswith("@"):
        return {word}
    return set().union(*(_members(one, groups) for one in groups[word]))


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the program that we were given
