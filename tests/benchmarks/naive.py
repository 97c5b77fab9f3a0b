"""The agent that one would write first: Faust hands over event by event, a table takes them.

``python -m tests.benchmarks.naive BOOTSTRAP TOPIC EVENTS`` prints one line of JSON, as
``baselines`` does. The table is in memory with its changelog in Kafka, which is Faust's default.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import uuid
from typing import Any

import faust


class Progress:
    """When the first event came and when the last one."""

    def __init__(self) -> None:
        self.events = 0
        self.started = self.cpu = 0.0

    def step(self) -> int:
        if not self.events:
            self.started, self.cpu = time.monotonic(), time.process_time()
        self.events += 1
        return self.events


def app_of(bootstrap: str, topic: str, wanted: int, partitions: int) -> faust.App:
    app = faust.App(
        f"naive-{uuid.uuid4().hex[:8]}",
        broker=f"kafka://{bootstrap}",
        value_serializer="json",
        web_enabled=False,
        topic_replication_factor=1,
        topic_partitions=partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        datadir=tempfile.mkdtemp(prefix="facetally-naive-"),
    )
    newest = app.Table("newest", default=dict, partitions=partitions)
    progress = Progress()

    async def take(events: Any) -> None:
        async for event in events:
            known = newest[event["subject"]]
            system = event["data"]["system"]
            if system not in known or known[system][0] < event["time"]:
                newest[event["subject"]] = {**known, system: (event["time"], event["type"])}
            if progress.step() == wanted:
                seconds = time.monotonic() - progress.started
                cpu = time.process_time() - progress.cpu
                print(json.dumps({"seconds": seconds, "cpu": cpu}), flush=True)

    app.agent(app.topic(topic, value_serializer="json"), name="naive")(take)
    return app


async def run(app: faust.App) -> None:
    await app.start()
    await asyncio.Event().wait()


def main(bootstrap: str, topic: str, events: str, partitions: str) -> None:
    app = app_of(bootstrap, topic, int(events), int(partitions))
    app.finalize()
    asyncio.run(run(app))


if __name__ == "__main__":
    main(*sys.argv[1:])
