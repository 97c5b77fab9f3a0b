"""Processes of ``facetally`` that run until they are killed, and how far they have got."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kafka.errors import CoordinatorNotAvailableError, KafkaError
from sqlalchemy import func, select

from monitor.store import schema
from monitor.store.engine import open_engine, reading
from streams.admin import Admin
from streams.connection import Connection
from tests.acceptance.command import Facetally
from tests.services.kafka import Kafka
from tests.services.process import Owned

PATIENCE = 300.0  # this long on a machine that has much else to do


def until(seen: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait for *seen*; after *patience* seconds fail, saying *what* was waited for."""
    deadline = time.monotonic() + patience
    while not seen():
        assert time.monotonic() < deadline, f"waited {patience:.0f} s in vain: {what}"
        time.sleep(0.05)


class Stored:
    """What is in the database, read beside the workers that write it."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(database_url)

    def close(self) -> None:
        self._engine.dispose()

    def records(self) -> int:
        """Return how many records were kept: the sum of all positions."""
        query = select(func.coalesce(func.sum(schema.positions.c.next_offset), 0))
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def notices(self) -> dict[str, list[Mapping[str, Any]]]:
        """Return key, processor, rule and duty of each notice, by kind."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(select(schema.notices)).mappings():
                found.setdefault(row["kind"], []).append(dict(row))
        return found


class Process:
    """One command that is started again after each kill."""

    def __init__(self, facetally: Facetally, name: str) -> None:
        self._facetally, self.name = facetally, name
        self._process: Owned | None = None
        self.started_at = 0.0

    def start(self) -> None:
        self.started_at = time.monotonic()
        self._process = self._facetally.start(self.name)

    def kill(self) -> None:
        """SIGKILL. It must have been running."""
        assert self._process is not None
        assert self._process.alive(), f"{self.name} ended by itself{self._process.tail()}"
        self._process.kill()

    def kill_alone(self) -> None:
        """SIGKILL the process and none of its children."""
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not self.alive(), f"{self.name} to be gone")

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and locks, and does nothing with them."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on with what it was doing, as if no time had passed."""
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.resume()  # who is stopped cannot end when asked
            self._process.stop()

    @property
    def pid(self) -> int:
        """The number of the process, and of the group of its children."""
        assert self._process is not None
        return self._process.pid

    def code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return None if self._process is None else self._process.code()

    def tail(self) -> str:
        """Return the end of its log."""
        return "" if self._process is None else self._process.tail()

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()


@contextlib.contextmanager
def processes(facetally: Facetally, *names: str) -> Iterator[list[Process]]:
    """Run these commands until the block ends, which asks them to end and then kills them."""
    started = [Process(facetally, name) for name in names]
    try:
        for process in started:
            process.start()
        yield started
    except BaseException as exc:
        for name, process in zip(names, started, strict=True):
            exc.add_note(f"{name}, {'alive' if process.alive() else 'ended'}:{process.tail()}")
        raise
    finally:
        for process in started:
            process.stop()


class Group:
    """What the broker knows: members of the group, ends of the topics."""

    def __init__(self, kafka: Kafka, group: str, topics: Sequence[str]) -> None:
        self._kafka, self._group, self._topics = kafka, group, topics

    @property
    def name(self) -> str:
        return self._group

    def members(self) -> int:
        """Return how many are in the group, -1 if no broker can tell right now."""
        admin = self._kafka.admin()
        try:
            return len(admin.describe_groups([self._group])[self._group]["members"])
        except CoordinatorNotAvailableError:  # nobody has ever been in a group here
            return 0
        except KafkaError:
            return -1
        finally:
            admin.close()

    def ends(self) -> dict[str, int]:
        """Return the end of each partition that has any record, named ``topic/partition``."""
        with Admin(Connection(bootstrap_servers=self._kafka.bootstrap)) as admin:
            partitions = [
                (seen.topic, number)
                for seen in admin.topics(self._topics)
                for number in range(seen.partitions)
            ]
            ends = admin.ends(partitions)
        return {f"{topic}/{number}": end for (topic, number), end in ends.items() if end}


def settings(
    kafka: Kafka, group: str, topics: Sequence[str], webhook: str, signing: str, head: str = ""
) -> str:
    """Return a settings file over *topics* of CloudEvents that sends notices to *webhook*."""
    read = "".join(f'[[topics]]\nname = "{name}"\nsource = "cloudevents"\n' for name in topics)
    hook = f'[[channels]]\nkind = "webhook"\nurl = "{webhook}"\nallow_private = true\n'
    channel = f'{hook}secret = "{signing}"\n'
    return f'bootstrap_servers = "{kafka.bootstrap}"\ngroup = "{group}"\n{head}\n{read}\n{channel}'
