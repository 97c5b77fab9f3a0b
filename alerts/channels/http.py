"""One POST to a receiver: bounded in time, to the given address only, saying nothing it should not.

Uses httpcore, what is below httpx: no redirects, cookies, ``.netrc`` or proxies from the
environment, and no log line with the address, which for many receivers is a secret itself. Of an
answer the status and the headers are read, which httpcore bounds, and no more.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpcore
import httpx

from alerts.channel import BadSettings, NotDelivered, checked_name
from alerts.channels.connecting import Checked, Refused, Resolve, system_addresses
from alerts.channels.urls import check_host, check_proxy, checked_url
from monitor.facts import Instant

LONGEST_RETRY_AFTER_S: Final = 3600.0
_LONGEST_TIMEOUT_S: Final = 20.0
_WHOLE: Final = 3  # timeouts: connect, send and wait each may take one; a lease is 120 s
SLOW: Final = "no answer in time"
NOT_ALLOWED: Final = "its address is not allowed (allow_private)"
_FAILED: Final = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
PASSING: Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where to post, and how. Raises BadSettings, which quotes no value.

    *authorization* is the whole value of that header. *ca_file* replaces the system's
    certificate authorities. *proxy* is an address such as ``http://proxy:3128``; then the proxy
    resolves the receiver's name, and it is for the proxy to say where that may lead.
    *allow_private*: the receiver may be in a network of one's own, or on this machine.
    """

    name: str
    url: str = field(repr=False)
    timeout_s: float = 10.0
    authorization: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    allow_private: bool = False

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_url("url", self.url)
        check_host("url", httpx.URL(self.url).host, private=self.allow_private)
        if self.proxy is not None:
            check_proxy(self.proxy)
        if not 0 < self.timeout_s <= _LONGEST_TIMEOUT_S:
            raise BadSettings(f"timeout_s: more than 0, at most {_LONGEST_TIMEOUT_S:.0f}")
        if self.authorization is not None and not _fits_a_header(self.authorization):
            raise BadSettings("authorization: printable ASCII only")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise BadSettings("ca_file: there is no such file")


class Poster:
    """Posts to one receiver, a new connection each time. Raises BadSettings for bad files."""

    def __init__(self, settings: HttpSettings, resolve: Resolve = system_addresses) -> None:
        self._settings = settings
        self._pool = _pool(settings, resolve)

    def post(self, path: str, body: bytes, headers: Mapping[str, str], now: Instant) -> str:
        """Return the status code of the confirmation, or raise NotDelivered.

        What the receiver says beside its status is not even read.
        """
        line = _Line()
        request = self._request(path, body, headers, line)
        try:
            with line.cut_after(_WHOLE * self._settings.timeout_s):
                response = self._pool.handle_request(request)
                response.close()
        except Refused:
            raise NotDelivered(NOT_ALLOWED, permanent=True) from None
        except _FAILED as exc:
            # From None: the chain holds the request, with its address and headers.
            raise NotDelivered(SLOW if line.was_cut else _why(exc)) from None
        return _judge(response, now)

    def _request(
        self, path: str, body: bytes, headers: Mapping[str, str], line: _Line
    ) -> httpcore.Request:
        settings = self._settings
        url = httpx.URL(settings.url.rstrip("/") + path if path else settings.url)
        own = {
            "host": url.netloc.decode(),
            "content-length": str(len(body)),
            "content-type": "application/json",
            "user-agent": "facetally",
        }
        if settings.authorization is not None:
            own["authorization"] = settings.authorization
        return httpcore.Request(
            "POST",
            _core(url),
            headers=list({**own, **headers}.items()),
            content=body,
            extensions={
                "timeout": httpx.Timeout(settings.timeout_s).as_dict(),
                "trace": line.follow,
            },
        )


def _pool(settings: HttpSettings, resolve: Resolve) -> httpcore.ConnectionPool:
    tls = _tls(settings.ca_file)
    if settings.proxy is None:
        checked = Checked(private=settings.allow_private, resolve=resolve)
        return httpcore.ConnectionPool(
            ssl_context=tls, max_keepalive_connections=0, network_backend=checked
        )
    proxy = httpx.Proxy(settings.proxy)
    return httpcore.HTTPProxy(
        _core(proxy.url),
        proxy_auth=proxy.raw_auth,
        ssl_context=tls,
        proxy_ssl_context=tls if proxy.url.scheme == "https" else None,
        max_keepalive_connections=0,
        network_backend=Checked(private=True, resolve=resolve),
    )


def _core(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


class _Line:
    """The connection of one attempt, to be cut when the attempt has taken too long.

    A timeout of httpcore is for one read: a receiver that sends a byte now and then would hold the
    channel, and all its other notices, for as long as it likes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.was_cut = False

    def follow(self, event: str, info: Mapping[str, object]) -> None:
        """Take note of the socket in use: the trace extension of httpcore calls this."""
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        stream = info["return_value"]
        with self._lock:
            self._socket = stream.get_extra_info("socket")  # type: ignore[attr-defined]  # httpcore's stream
            if self.was_cut:
                self._shut()

    @contextlib.contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cut the connection if the block takes longer than that."""
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with self._lock:
            self.was_cut = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)


def _judge(response: httpcore.Response, now: Instant) -> str:
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return str(status)
    passing = status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    raise NotDelivered(
        f"answered {status}",
        permanent=not passing,
        retry_after_s=_retry_after(_header(response, b"retry-after"), now) if passing else None,
    )


def _header(response: httpcore.Response, name: bytes) -> str | None:
    found = (value for key, value in response.headers if key.lower() == name)
    return next((value.decode("latin-1") for value in found), None)


def _retry_after(value: str | None, now: Instant) -> float | None:
    """Seconds or an HTTP date, bounded: no receiver may put a page off for a week."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now / 1_000_000
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _why(exc: Exception) -> str:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not accepted"
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, httpcore.TimeoutException):
        return SLOW
    if isinstance(exc, httpcore.ConnectError):
        return "no connection"
    return f"the connection failed ({type(exc).__name__})"


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError):
        raise BadSettings("ca_file: holds no certificates") from None


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text.strip())


def rfc3339(instant: Instant) -> str:
    """Return *instant* as text in UTC, to the microsecond."""
    seconds, micros = divmod(instant, 1_000_000)
    day = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{day:%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"
