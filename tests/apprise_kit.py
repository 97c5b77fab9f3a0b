"""What tests of the channel of kind apprise share.

The services have fixed addresses, so their hosts are reached through a proxy that leads them all to
a server of ours, under certificates of an authority that the channel is told to trust.
"""

from __future__ import annotations

import os
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from alerts.channels.apprise_channel import AppriseChannel, AppriseSettings
from monitor.notices import Kind, Notice, Severity, key_of
from tests.certificates import Authority
from tests.outbox_contract import NOW
from tests.post_office import PostOffice
from tests.receiver import Answer, Behaviour, Receiver, receiving
from tests.tunnel import Tunnel, tunnelling_to

TOKEN = "c4fa1cc4fa1cc4fa1cc4fa1cc4fa1cc4"
BOT = "12345678-1234-1234-1234-123456789abc"
HOSTS = (
    "oapi.dingtalk.com",
    "open.feishu.cn",
    "open.larksuite.com",
    "qyapi.weixin.qq.com",
    "hooks.slack.com",
    "events.pagerduty.com",
    "api.opsgenie.com",
)
# One of each service that the guide names, by the forms of the library's own documentation.
SERVICES: Mapping[str, tuple[str, str, Answer]] = {
    "dingtalk": (f"dingtalk://{TOKEN}", HOSTS[0], Answer(200, body=b'{"errcode":0}')),
    "feishu": (f"feishu://{BOT}", HOSTS[1], Answer(200, body=b'{"code":0}')),
    "lark": (f"lark://{BOT}", HOSTS[2], Answer(200, body=b'{"code":0}')),
    "wecombot": (f"wecombot://{BOT}", HOSTS[3], Answer(200, body=b'{"errcode":0}')),
    "slack": (
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        HOSTS[4],
        Answer(200, body=b"ok"),
    ),
    "pagerduty": (f"pagerduty://{TOKEN}@A1BRTD4JDTIiajkdnlaz", HOSTS[5], Answer(202)),
    "opsgenie": (f"opsgenie://{BOT}", HOSTS[6], Answer(202, body=b'{"requestId":"1"}')),
}
HOSTILE = '<script>alert(1)</script> & "q" \'*_`~ {0} %s \\n ${HOME} [x](http://x) 第一'


def told(**changes: Any) -> Notice:
    given = {
        "key": key_of(Kind.DUTY_OPENED, "acme"),
        "kind": Kind.DUTY_OPENED,
        "severity": Severity.PAGE,
        "processor": "acme",
        "rule": "frt.file",
        "duty": "0",
        "created_at": NOW,
        "body": {"individuals": 100_000, "at_least": 100_000, "due_day": "2026-04-14"},
    }
    return Notice(**{**given, **changes})


def channel(url: str, **changes: Any) -> AppriseChannel:
    return AppriseChannel(AppriseSettings(url=url, **{"timeout_s": 30.0, **changes}))


@contextmanager
def service(
    served: ssl.SSLContext, *answers: Answer | Behaviour
) -> Iterator[tuple[Receiver, Tunnel]]:
    """Run what answers in place of every service."""
    with (
        receiving(*answers, tls=served) as receiver,
        tunnelling_to(int(receiver.url.rpartition(":")[2])) as tunnel,
    ):
        yield receiver, tunnel


def through(tunnel: Tunnel, ours: Authority) -> dict[str, Any]:
    return {"proxy": tunnel.url, "ca_file": ours.certificate}


def texts(value: object) -> str:
    """All texts of a JSON body, unescaped."""
    if isinstance(value, dict):
        return "\n".join(texts(one) for one in value.values())
    if isinstance(value, list):
        return "\n".join(texts(one) for one in value)
    return value if isinstance(value, str) else ""


def by_mail(office: PostOffice) -> str:
    return f"mailto://127.0.0.1:{office.port}/?from=facetally@example.org&to=duty@example.org"


def children(of: int | None = None) -> set[int]:
    """Processes of ours, or those *of* another, that talk to apprise."""
    found = subprocess.run(
        ["ps", "--ppid", str(of or os.getpid()), "-o", "pid=,args="],
        capture_output=True,
        text=True,
        check=False,  # 1 where there are none
    )
    lines = [line.split(None, 1) for line in found.stdout.splitlines()]
    return {int(pid) for pid, command in lines if "apprise_child" in command}


@contextmanager
def dripping_once() -> Iterator[str]:
    """Run a receiver that answers the first request byte by byte, for ever, and then well.

    No read of it ever takes longer than half a second.
    """
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            first, self.server.first = self.server.first, False  # type: ignore[attr-defined]  # set below
            if not first:
                self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                return
            self.request.sendall(b"HTTP/1.1 200 OK\r\ndrip: ")
            with suppress(OSError):
                while not over.wait(0.5):
                    self.request.sendall(b"x")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.first = True  # type: ignore[attr-defined]  # ours
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()
