"""What the process that runs apprise may do, and what the services really answered.

The library takes any status 200 for success. DingTalk, WeCom, Feishu and Lark answer 200 to a
message that they refuse (a wrong signature, a word that is missing, too many in a minute) and say
so in the body, so a page would be lost as delivered. Hence answers are read here, too.
"""

from __future__ import annotations

import socket
from io import BytesIO
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from alerts.channels.addresses import allowed, literal

_FORBIDDEN: Final = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"}
_CONNECTS: Final = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_MOST_READ: Final = 1 << 20
_CODES: Final = {
    "oapi.dingtalk.com": ("errcode",),
    "qyapi.weixin.qq.com": ("errcode",),
    "open.feishu.cn": ("code", "StatusCode"),
    "open.larksuite.com": ("code", "StatusCode"),
}


class NotAllowed(PermissionError):
    """Nobody may go there. A library takes it for an address that does not answer."""


class Guard:
    """Looks at every connect of this process; with *private*, one's own networks are allowed.

    The *proxy* may be in one's own network in any case, and never where nobody may go.
    """

    def __init__(self, *, private: bool, proxy: str | None) -> None:
        self._private, self._proxy = private, proxy
        self._by_proxy: frozenset[str] = frozenset()
        self.refused = False

    def begin(self) -> None:
        """Forget what was refused, and see where the proxy is now: the settings allow it."""
        self.refused = False
        found = _addresses(self._proxy)
        self._by_proxy = frozenset(one for one in found if allowed(one, private=True))

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise NotAllowed for what may not be done: an audit hook of the interpreter."""
        if event in _CONNECTS:
            if arguments[1] is not None:  # None: over the connection that there is
                self._check(arguments[1])
        elif event in _FORBIDDEN:
            raise NotAllowed

    def check_url(self, url: str) -> None:
        """Raise NotAllowed if *url* names an address that nobody may go to, by a proxy neither."""
        address = literal(urlsplit(url).hostname or "")
        if address is not None and not allowed(address, private=self._private):
            self._refuse()

    def _check(self, target: object) -> None:
        # The path of a socket file is no tuple; a name is no address, and would be resolved later.
        host = str(target[0]) if isinstance(target, tuple) and target else ""
        if host not in self._by_proxy and not allowed(host, private=self._private):
            self._refuse()

    def _refuse(self) -> NoReturn:
        self.refused = True
        raise NotAllowed


def _addresses(url: str | None) -> list[str]:
    host = urlsplit(url).hostname if url else None
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None)] if host else []
    except OSError:
        return []


class Answers:
    """The status of the newest answer, and the code by which a service refused what it answered."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.refusal: int | None = None

    def begin(self) -> None:
        """Forget the last attempt."""
        self.status = self.refusal = None

    def take(self, response: requests.Response) -> None:
        """Note one answer."""
        self.status = response.status_code
        names = _CODES.get(urlsplit(response.request.url or "").hostname or "", ())
        if names and response.ok:
            self.refusal = _refusal(response, names) or self.refusal


def _refusal(response: requests.Response, names: tuple[str, ...]) -> int | None:
    """Return the code that is not 0; what cannot be read is no confirmation: -1."""
    try:
        said = response.json()
    except ValueError:
        return -1
    codes = [said[name] for name in names if name in said] if isinstance(said, dict) else []
    if not codes:
        return -1
    return next((code if isinstance(code, int) else -1 for code in codes if code != 0), None)


def watch_answers(answers: Answers, guard: Guard) -> None:
    """Have *answers* take every answer of this process, of which no more than 1 MiB is read.

    *guard* sees each address before it is asked for: a proxy would ask in our place.

    Every service makes a session of its own, so there is nowhere to hang a hook but the class.
    """
    plain = HTTPAdapter.send

    def send(
        self: HTTPAdapter,
        request: requests.PreparedRequest,
        **how: Any,  # noqa: ANN401 - theirs
    ) -> requests.Response:
        guard.check_url(request.url or "")
        response = plain(self, request, **{**how, "stream": True})
        with response.raw as whole:
            response.raw = BytesIO(whole.read(_MOST_READ, decode_content=True))
        answers.take(response)
        return response

    HTTPAdapter.send = send  # type: ignore[method-assign, assignment]  # in a process of its own
