"""A worker as a process of its own, to be killed: database, bootstrap, group, instance, topics."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from streams.reader import Source
from streams.worker import WorkerSettings, run_worker
from tests.keeper import Names, SqliteKeeper


def main(database: str, bootstrap: str, group: str, instance: str, *topics: str) -> int:
    logging.basicConfig(level=logging.INFO, format=f"{instance} %(levelname)s %(message)s")
    settings = WorkerSettings(
        bootstrap_servers=bootstrap,
        group=group,
        instance_id=instance or None,
        topics={topic: Source("test", Names()) for topic in topics},
        max_batch_records=500,
    )
    keeper = SqliteKeeper(Path(database), busy=1.0)
    return run_worker(settings, keeper)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
