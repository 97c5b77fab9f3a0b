"""The addresses in the settings of channels: what can be said before any name is resolved."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from alerts.channel import BadSettings
from alerts.channels.addresses import allowed, literal


def checked_url(setting: str, text: str, *, login: bool = False) -> None:
    """Raise BadSettings, which names *setting*, unless *text* is an http or https URL."""
    try:
        url = httpx.URL(text)
        urlsplit(text).port  # noqa: B018 - raises for ports and brackets that httpx lets pass
    except (httpx.InvalidURL, ValueError):
        raise BadSettings(f"{setting}: is no URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise BadSettings(f"{setting}: must be http://... or https://...")
    if url.userinfo and not login:
        raise BadSettings(f"{setting}: no user or password in it, use authorization")
    if url.fragment:
        raise BadSettings(f"{setting}: no fragment (#...) in it")


def check_host(setting: str, host: str, *, private: bool) -> None:
    """Raise BadSettings if *host* is an address that may not be connected to, however written.

    A name can only be judged when it is resolved, before each connection.
    """
    local = host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    address = "127.0.0.1" if local else literal(host)
    if address is None or allowed(address, private=private):
        return
    more = "" if private else "; if it is meant, and it is in a network of yours: allow_private"
    raise BadSettings(f"{setting}: leads to an address that is not public{more}")


def check_proxy(url: str) -> None:
    """Raise BadSettings unless *url* is one of a proxy, which may be in a network of one's own."""
    checked_url("proxy", url, login=True)
    host = httpx.URL(url).host
    address = literal(host)
    if address is not None and not allowed(address, private=True):
        raise BadSettings("proxy: leads to an address that no channel may go to")
