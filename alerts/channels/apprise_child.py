"""The program that talks to apprise, one for each channel: ``-m alerts.channels.apprise_child``.

A process of its own, so that an attempt that takes too long really ends, that nothing which the
library or a service says reaches a log, and that no connection is made that may not be made,
whichever of its many services makes it: every connect is looked at, with the very address that is
connected to. It reads orders from standard input, a JSON object on a line each, and answers each
with one. It ends with its input, and by SIGALRM when an attempt outlasts its time.

No answer holds a text of the library or of a service.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Any, Final, TextIO, cast

from apprise import Apprise, AppriseAsset
from apprise.common import NotifyFormat, OverflowMode
from apprise.plugins.base import NotifyBase

from alerts.channels.addresses import allowed
from alerts.channels.apprise_guard import Answers, Guard, watch_answers

UNKNOWN: Final = "unknown"
UNCHECKED: Final = "unchecked"
TOO_MANY: Final = "too_many"
ELSEWHERE: Final = "elsewhere"

_MOST_BYTES: Final = {"wecombot": 2048}  # the library takes this limit for one of characters
_REPEATS_BY: Final = {"pagerduty": "dedup", "opsgenie": "alias"}  # by this the service drops them
# Their robots take 100 in a minute; the library waits 5.5 s, for Lark before the first one, too.
_SPACED_S: Final = {"feishu": 0.7, "lark": 0.7}
# All are told by one request; of a DingTalk robot the message mentions whom its address names.
_AT_ONCE: Final = frozenset({"dingtalk", "notifyre", "wechat", "xmatters"})
_LISTS: Final = ("targets", "topics", "rooms", "channels", "users")
_COPIES: Final = ("cc", "bcc")
# What each notice does, whatever its address says: the first of these that a service knows.
_TELLING: Final = ("new", "trigger", "create", "map")
_SILENT: Final = logging.CRITICAL + 1


def opened(url: str, timeout_s: float, *, private: bool) -> NotifyBase | str:
    """Return the service of *url*, made safe, or why there is none."""
    service = Apprise.instantiate(url, asset=_asset())
    if service is None:
        return UNKNOWN
    if not service.verify_certificate:
        return UNCHECKED
    if not _may_be_at(service, private=private):
        return ELSEWHERE
    _tell_anew(service)
    spaced = _SPACED_S.get(str(service.secure_protocol), service.request_rate_per_sec)
    service.request_rate_per_sec = spaced
    # Whatever the address says: who tries again is the outbox, a failure is a failure, and an
    # answer that leads elsewhere is none.
    service.retry, service.optional, service.redirects = 0, False, False
    if _receivers(service) > 1:
        return TOO_MANY  # where one of them fails, the others would be told again with each attempt
    service.socket_connect_timeout = service.socket_read_timeout = timeout_s
    if "overflow=" not in url:
        service.overflow_mode = OverflowMode.TRUNCATE
    return service


def _may_be_at(service: NotifyBase, *, private: bool) -> bool:
    """Tell whether a server that the address names as an IP address may be connected to.

    Numbers that are written otherwise may be a token, and are looked at when it is sent.
    """
    host = service.host if "host" in service.template_tokens else None
    for server in (host, getattr(service, "smtp_host", None)):
        try:
            address = str(ip_address(str(server).strip("[]")))
        except ValueError:
            continue
        if not allowed(address, private=private):
            return False
    return True


def _receivers(service: NotifyBase) -> int:
    """Return how many are told one after the other, or by copies of one letter.

    The library counts its repeats, too: none may be set.
    """
    told = 1
    if service.secure_protocol not in _AT_ONCE:
        counts = type(service).__len__ is not NotifyBase.__len__
        told = len(service) if counts else _held(service, _LISTS)
    return max(told, 1) + _held(service, _COPIES)


def _held(service: NotifyBase, names: Collection[str]) -> int:
    lists = (getattr(service, name, None) for name in names)
    return sum(len(one) for one in lists if isinstance(one, list | tuple | set | dict))


def _tell_anew(service: NotifyBase) -> None:
    """Have each notice be an alert of its own, whatever the address says.

    Else a service may add it as a note to an alert that is not there, or end one with it, and
    nobody would be told.
    """
    told = cast("Mapping[str, Any]", service.template_args.get("action") or {})
    known: Collection[str] = told.get("values") or ()
    action = next((one for one in _TELLING if one in known), None)
    if action is not None:
        setattr(service, "action", action)  # noqa: B010 - not every service has one
    if action == "map":
        setattr(service, "mapping", dict(getattr(service, "splunk_message_map", {})))  # noqa: B010 - likewise


def _speaks_http(service: NotifyBase) -> bool:
    """Tell whether *service* asks by HTTP, so that without any answer it has told nobody."""
    own = (one.__module__ for one in type(service).__mro__ if issubclass(one, NotifyBase))
    modules = (sys.modules[one] for one in own if one != NotifyBase.__module__)
    return any(hasattr(one, "requests") for one in modules)


def _asset() -> AppriseAsset:
    """Nothing from disk, from the environment or by third parties, and nobody's images."""
    return AppriseAsset(
        plugin_paths=[],
        storage_mode="memory",
        allow_templates=False,
        service_timeout=0,
        timezone="UTC",
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        interpret_emojis=False,
        interpret_escapes=False,
        pgp_autogen=False,
        pem_autogen=False,
        image_url_mask="",
        image_url_logo="",
        app_id="facetally",
        app_desc="facetally",
        app_url="",
    )


def _sent(
    service: NotifyBase, order: Mapping[str, str], guard: Guard, answers: Answers
) -> dict[str, object]:
    guard.begin()
    answers.begin()
    schema = str(service.secure_protocol)
    if schema in _REPEATS_BY:
        setattr(service, _REPEATS_BY[schema], order["key"])
    sender = Apprise(asset=service.asset)
    sender.add(service)
    try:
        taken = sender.notify(
            body=_fitting(order["body"], order["title"], _MOST_BYTES.get(schema)),
            title=order["title"],
            notify_type=order["type"],
            body_format=NotifyFormat.TEXT,
        )
    except Exception:  # noqa: BLE001 - of a plugin; its text may hold the address
        taken = None
    status, refusal = answers.status, answers.refusal
    unsent = bool(taken) and status is None and _speaks_http(service)
    done = bool(taken) and refusal is None and not unsent and not guard.refused
    return {
        "done": done,
        "status": status,
        "refusal": refusal,
        "kept": guard.refused,
        "unsent": unsent,
    }


def _fitting(body: str, title: str, most: int | None) -> str:
    """Return as much of *body* as there is room for below *title*, in bytes."""
    room = None if most is None else most - len(title.encode()) - len("\r\n…".encode())
    if room is None or len(body.encode()) <= room:
        return body
    return body.encode()[: max(room, 0)].decode(errors="ignore") + "…"


def _within(seconds: float, work: Callable[[], dict[str, object]]) -> dict[str, object]:
    """Do *work*; the process ends, by the signal's default action, if that takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _own_output() -> TextIO:
    """Keep standard output for the answers; what anybody prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _quiet() -> None:
    logging.disable(_SILENT)


def main() -> None:
    """Serve until the input ends. The first order says what to open."""
    output = _own_output()
    _quiet()
    first = json.loads(sys.stdin.readline())
    guard = Guard(private=first["private"], proxy=first["proxy"])
    sys.addaudithook(guard.watch)
    answers = Answers()
    watch_answers(answers, guard)
    timeout_s = float(first["timeout_s"])
    service = opened(first["url"], timeout_s, private=first["private"])
    why = service if isinstance(service, str) else None
    _answer(output, {"why": why})
    if isinstance(service, str):
        return
    for line in sys.stdin:
        order = json.loads(line)
        _answer(output, _within(timeout_s, lambda: _sent(service, order, guard, answers)))  # noqa: B023 - called at once


def _answer(output: TextIO, content: Mapping[str, object]) -> None:
    output.write(json.dumps(content) + "\n")
    output.flush()


if __name__ == "__main__":
    main()
