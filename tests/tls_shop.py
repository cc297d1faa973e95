"""A shop behind TLS in this process: a server, and calls to it from here."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

from certificates import Authority


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"you asked for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Shop:
    """`with Shop(folder) as shop: shop.get("/pay")`. `keys`: what clients write their secrets into, if asked to."""

    def __init__(self, folder: Path, *, keylog: bool = False) -> None:
        self.keys = folder / "keys.log"
        self._keylog = keylog
        self._certificate = Authority(folder, "authority").issue("localhost")

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def get(self, *paths: str) -> None:
        """Ask for these on a connection of their own."""
        with self.connection() as ask:
            for path in paths:
                ask(path)

    @contextmanager
    def connection(self) -> Iterator[Callable[[str], None]]:
        """One that stays open, to ask for paths."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._keylog:
            context.keylog_filename = str(self.keys)
        connection = HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)

        def ask(path: str) -> None:
            connection.request("GET", path)
            assert connection.getresponse().read() == f"you asked for {path}".encode()

        try:
            yield ask
        finally:
            connection.close()
