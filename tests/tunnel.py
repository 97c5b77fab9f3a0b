"""A proxy that tunnels every CONNECT to one local port, whatever host is asked for."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Tunnel:
    """*asked* are the ``HOST:PORT`` of the tunnels, in their order."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def tunnelling_to(port: int) -> Iterator[Tunnel]:
    """Run the proxy on a free loopback port."""
    tunnel = Tunnel()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline().split()
            while self.rfile.readline().strip():
                pass  # headers
            tunnel.asked.append(words[1].decode())
            with socket.create_connection(("127.0.0.1", port)) as there:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with contextlib.suppress(OSError):
                    _pump(self.connection, there)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        tunnel.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield tunnel
        finally:
            server.shutdown()
            thread.join()


def _pump(here: socket.socket, there: socket.socket) -> None:
    ends = {here: there, there: here}
    while True:
        ready, _, _ = select.select(list(ends), [], [], 30)
        for end in ready:
            some = end.recv(65_536)
            if not some:
                return
            ends[end].sendall(some)
