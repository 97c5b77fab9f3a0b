"""The Faust app: one agent over all topics, which passes every fetch on. It decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from faust.types import AppT
from faust.types.transports import TransportT
from yarl import URL

from streams.connection import Connection
from streams.transport import FAUST_LOG, Fetched, Listener, Transport

Offer = Callable[[Fetched], Awaitable[None]]

_BUFFERED_FETCHES = 4
_NOISY = ("faust", "mode", "aiokafka", "kafka")


class App(faust.App):
    """A Faust app that reads through the batching transport and owns no files."""

    logger = FAUST_LOG
    listener: Listener

    def _new_transport(self) -> TransportT:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Make none: the state is in the database."""


class _AsIs(faust.Schema[Any, Any]):
    """Hands a fetch on untouched: decoding is done in bulk, outside the event loop."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[Any]]:  # noqa: ANN401 - Faust's hooks
        async def decode(message: Any, **_: Any) -> Any:  # noqa: ANN401 - Faust's signature
            return app.create_event(None, message.value, message.headers, message)

        return decode


def build(  # noqa: PLR0913 - keyword-only settings of one app
    connection: Connection,
    listener: Listener,
    offer: Offer,
    *,
    group: str,
    topics: Sequence[str],
    instance_id: str | None,
    session_timeout: float,
    fetch_bytes: int,
    max_records: int,
) -> App:
    """Return an app whose agent awaits *offer* for each fetch of *topics*."""
    app = App(
        group,
        **connection.for_faust(),
        autodiscover=False,
        store=URL("memory://"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=_BUFFERED_FETCHES,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_client_id="facetally",
        broker_session_timeout=session_timeout,
        broker_heartbeat_interval=session_timeout / 4,
        broker_request_timeout=max(20.0, session_timeout),
        broker_rebalance_timeout=max(20.0, session_timeout),
        broker_max_poll_interval=3600.0,
        broker_max_poll_records=max_records,
        consumer_max_fetch_size=fetch_bytes,
        consumer_metadata_max_age_ms=5_000,
        consumer_group_instance_id=instance_id,
    )
    app.listener = listener
    intake = app.topic(*topics, schema=_AsIs(), acks=False)

    async def pass_on(fetches: faust.StreamT[Fetched]) -> None:
        async for fetched in fetches:
            await offer(fetched)

    app.agent(intake, name="intake", concurrency=1)(pass_on)
    return app


def quiet_libraries() -> None:
    """Silence the clients' own logs, unless somebody has set a level for them.

    We say ourselves what matters about Kafka, once; their messages repeat many times a second
    during an outage, and some quote the messages that they are about.
    """
    for name in _NOISY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
