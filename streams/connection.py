"""Where Kafka is and how to log in to it, for the three clients that are used here.

Faust's own transport (aiokafka) reads topics, kafka-python looks things up and publishes; both get
their options from one value, so that they can never be configured differently.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import faust

Options: TypeAlias = dict[str, Any]
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class KafkaUnreachable(Exception):
    """Kafka did not answer in time; the message names the address that was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to the brokers; without *ca_file* the system's authorities are trusted.

    *cert_file* and *key_file* (PEM) are this client's certificate, if the brokers ask for one.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    check_host_name: bool = True

    def context(self) -> ssl.SSLContext:
        """Return a context as configured; raises OSError (SSLError too) on a bad file."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.check_hostname = self.check_host_name
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file, self.key_password)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Sasl:
    """A user name and password; *mechanism* is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    username: str
    password: str = field(repr=False)
    mechanism: str = "SCRAM-SHA-512"

    def __post_init__(self) -> None:
        if self.mechanism not in _MECHANISMS:
            raise ValueError(f"SASL mechanism must be one of {', '.join(_MECHANISMS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The brokers (``host:port``, several separated by commas), TLS and login."""

    bootstrap_servers: str
    tls: Tls | None = None
    sasl: Sasl | None = None

    @property
    def servers(self) -> list[str]:
        """The addresses one by one."""
        return [server.strip() for server in self.bootstrap_servers.split(",") if server.strip()]

    def for_kafka_python(self) -> Options:
        """Return keyword arguments for kafka-python's clients."""
        options: Options = {
            "bootstrap_servers": self.servers,
            "security_protocol": self._protocol(),
            # By default pauses double up to 30 s: longer than it takes Kafka to come back.
            "reconnect_backoff_max_ms": 1_000,
        }
        if self.tls is not None:
            options["ssl_context"] = self.tls.context()
        if self.sasl is not None:
            options["sasl_mechanism"] = self.sasl.mechanism
            options["sasl_plain_username"] = self.sasl.username
            options["sasl_plain_password"] = self.sasl.password
        return options

    def for_faust(self) -> Options:
        """Return settings for a Faust app."""
        options: Options = {"broker": [f"kafka://{server}" for server in self.servers]}
        context = self.tls.context() if self.tls is not None else None
        if self.sasl is not None:
            options["broker_credentials"] = faust.SASLCredentials(
                username=self.sasl.username,
                password=self.sasl.password,
                mechanism=self.sasl.mechanism,
                ssl_context=context,
            )
        elif context is not None:
            options["broker_credentials"] = faust.SSLCredentials(context)
        return options

    def _protocol(self) -> str:
        wire = "SSL" if self.tls is not None else "PLAINTEXT"
        return f"SASL_{wire}" if self.sasl is not None else wire
