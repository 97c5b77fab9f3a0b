"""A mail server that keeps every letter, or answers as it is told."""

from __future__ import annotations

import asyncio
import email
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class PostOffice:
    """What was taken, and for whom."""

    answer: str
    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - of aiosmtpd
        if self.answer.startswith("2"):
            assert isinstance(envelope.content, bytes)
            letter = email.message_from_bytes(envelope.content, policy=default)
            assert isinstance(letter, EmailMessage)
            self.letters.append(letter)
            self.receivers.append(list(envelope.rcpt_tos))
        return self.answer


@contextmanager
def post_office(answer: str = "250 OK") -> Iterator[PostOffice]:
    """Run one on a free loopback port; *answer* is what it says to each letter."""
    office, ready, over = PostOffice(answer), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await loop.create_server(lambda: SMTP(office, loop=loop), "127.0.0.1", 0)
        office.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield office
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
