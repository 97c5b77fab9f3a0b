"""A name for this worker that a restart gets back, and no other worker on this machine has.

Static membership in the consumer group needs one: a restarted worker then has its partitions back
at once (DESIGN section 4). Names are numbered, and a number is held by an operating-system lock,
which the end of the process frees, SIGKILL included.
"""

from __future__ import annotations

import fcntl
import hashlib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST = 1_000


class TooManyWorkers(RuntimeError):
    """No free name is left; set ``instance_id`` for each worker."""


@contextmanager
def instance_of(group: str, given: str | None = None) -> Iterator[str]:
    """Hold a name in *group* while the context lasts; *given* is taken as it is.

    Two machines of one host name that share a group must be *given* names.
    """
    if given is not None:
        yield given
        return
    tag = hashlib.blake2b(group.encode(), digest_size=8).hexdigest()
    for number in range(_MOST):
        path = Path(tempfile.gettempdir()) / f"facetally-{tag}-{number}.lock"
        try:
            file = path.open("a")
        except PermissionError:  # another user's, whose worker may have the name
            continue
        with file as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{socket.gethostname()}-{number}"
            return
    raise TooManyWorkers("no free worker name: set instance_id for each worker")
