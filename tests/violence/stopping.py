"""The command, in a process that freezes itself just before it keeps a batch.

So it is certain that it holds a batch, and neither a lock nor a transaction that the server could
end: a zombie whose next statement is the guard. The first argument says at which transaction; the
rest is the command's own. ``SIGCONT`` wakes it.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Sequence
from unittest.mock import patch

from deploy.cli.main import main
from monitor.intake import Batch
from monitor.store.keeping import Keeping


def freeze_before(transaction: int) -> None:
    """Stop this process, once, before the first statement of transaction number *transaction*."""
    begun = itertools.count(1)
    keep = Keeping.keep

    def keep_later(self: Keeping, batches: Sequence[Batch]) -> None:
        if next(begun) == transaction:
            # Of this thread: it does not go on before the process has been stopped.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        keep(self, batches)

    patch.object(Keeping, "keep", keep_later).start()


if __name__ == "__main__":
    freeze_before(int(sys.argv.pop(1)))
    main()
