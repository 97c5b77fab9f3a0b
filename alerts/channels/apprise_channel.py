"""Whatever the library apprise can reach: DingTalk, Feishu, WeCom, Slack, PagerDuty, mail, ...

The address of a service holds its token, so all of it is a secret. The library says of an attempt
whether it was taken, and no more; where the service gave a status, that is told, too. The text is
that of ``alerts.templates``, in one language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from alerts.channel import BadSettings, NotDelivered, checked_name
from alerts.channels.courier import Courier, Ended, TooSlow
from alerts.channels.http import NOT_ALLOWED, PASSING, SLOW
from alerts.channels.urls import check_proxy
from alerts.origin import NOWHERE, Origin
from alerts.templates import checked_language, message
from alerts.values import Language
from monitor.facts import Instant
from monitor.notices import Notice, Severity

_SCHEMA: Final = re.compile(r"([a-z][a-z0-9+.-]{0,31})://\S+")
_SHORTEST_S, _LONGEST_S = 10.0, 60.0  # the library spaces messages by up to 5.5 s
_LOCAL: Final = frozenset(
    {"blink1", "dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
_UNSIGNED: Final = frozenset({"form", "forms", "json", "jsons", "xml", "xmls"})
_TYPES: Final = {Severity.PAGE: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}
_ENDED: Final = "apprise ended without an answer"
_WHY: Final = {
    "unknown": "url: apprise knows no such service, or something in it is missing or wrong",
    "unchecked": "url: verify=no is not allowed; give ca_file for authorities of your own",
    "elsewhere": (
        "url: leads to an address that is not public; if it is meant, and it is in a network of "
        "yours: allow_private"
    ),
    "too_many": "url: leads to more than one receiver; make a channel for each",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseSettings:
    """*url* is an address of apprise, a secret as a whole. Raises BadSettings, quoting nothing.

    *timeout_s* is for a whole attempt. *allow_private*, *ca_file* and *proxy* are as for webhooks;
    of a proxy what speaks HTTP makes use, mail does not.
    """

    name: str = "apprise"
    url: str = field(repr=False)
    language: Language = "en"
    timeout_s: float = 30.0
    allow_private: bool = False
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    origin: Origin = NOWHERE

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_language(self.language)
        schema = _SCHEMA.fullmatch(self.url)
        if schema is None:
            raise BadSettings("url: must be one address of apprise, SERVICE://...")
        self._check_schema(schema[1])
        if not _SHORTEST_S <= self.timeout_s <= _LONGEST_S:
            raise BadSettings(f"timeout_s: from {_SHORTEST_S:.0f} to {_LONGEST_S:.0f}")
        if self.proxy is not None:
            check_proxy(self.proxy)
        if self.ca_file is not None and not self.ca_file.is_file():
            raise BadSettings("ca_file: there is no such file")

    def _check_schema(self, schema: str) -> None:
        if schema in _LOCAL:
            raise BadSettings("url: that service shows something on this machine, and tells nobody")
        if schema in _UNSIGNED and not self.allow_private:
            raise BadSettings(
                "url: a plain POST is what kind webhook is for, which is signed; within a network "
                "of your own set allow_private"
            )


class AppriseChannel:
    """Sends by a process of its own, which ``close`` ends; so does the end of this one."""

    def __init__(self, settings: AppriseSettings) -> None:
        self._settings = settings
        first = {
            "url": settings.url,
            "timeout_s": settings.timeout_s,
            "private": settings.allow_private,
            "proxy": settings.proxy,
        }
        self._courier = Courier(first, _environment(settings))

    @property
    def name(self) -> str:
        return self._settings.name

    def check(self) -> None:
        """Raise BadSettings if apprise does not take the address.

        If it cannot be asked now, on a busy machine, nothing is raised: each attempt asks again.
        """
        try:
            self._courier.start()
        except TooSlow:
            return
        except Ended as exc:
            if exc.why is not None:
                raise BadSettings(_WHY[exc.why]) from None

    def send(self, notice: Notice, now: Instant) -> str:
        """Return ``accepted``, with the status where there was one, or raise NotDelivered."""
        return self.send_in(self._settings.language, notice, now)

    def send_in(self, language: Language, notice: Notice, now: Instant) -> str:  # noqa: ARG002 - of the protocol
        """Send in *language*; see ``send``."""
        said, origin = message(notice, language), self._settings.origin
        order = {
            "key": origin.id_of(notice),
            "title": said.title,
            "body": "\n".join([said.body, *origin.lines(notice.kind, language)]),
            "type": _TYPES[notice.severity],
        }
        try:
            answer = self._courier.ask(order, self._settings.timeout_s)
        except TooSlow:
            raise NotDelivered(SLOW) from None
        except Ended as exc:
            why = _ENDED if exc.why is None else (_WHY | {"elsewhere": NOT_ALLOWED})[exc.why]
            raise NotDelivered(why, permanent=exc.why is not None) from None
        return _judge(answer)

    def close(self) -> None:
        """End the process."""
        self._courier.close()


def _environment(settings: AppriseSettings) -> dict[str, str]:
    found: dict[str, str] = {}
    if settings.proxy is not None:
        found = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), settings.proxy)
    if settings.ca_file is not None:
        ca_file = str(settings.ca_file.absolute())
        found |= {"REQUESTS_CA_BUNDLE": ca_file, "SSL_CERT_FILE": ca_file}
    return found


def _judge(answer: Any) -> str:  # noqa: ANN401 - JSON of our own child
    status, refusal = answer["status"], answer["refusal"]
    if answer["done"]:
        return "accepted" if status is None else f"accepted, {status}"
    if answer["kept"]:
        raise NotDelivered(NOT_ALLOWED, permanent=True)
    if refusal is not None:
        raise NotDelivered(f"answered {status}, refused by the service with code {refusal}")
    if answer["unsent"]:
        raise NotDelivered("apprise says that it was taken, but nobody was asked")
    if status is None or status < HTTPStatus.MULTIPLE_CHOICES:
        raise NotDelivered("apprise says that it failed")
    passing = status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    raise NotDelivered(f"answered {status}", permanent=not passing)
