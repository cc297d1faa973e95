"""-o har: an HTTP Archive 1.2, which the network panel of every browser opens, of the calls of HTTP and gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from pysniff.dissectors.http import HttpMessage
from pysniff.entry import Entry
from pysniff.export.exporter import Exporter
from pysniff.export.har_entry import har_entry
from pysniff.export.har_websocket import Chats, is_upgrade
from pysniff.limits import MIB

NO_HTTP = "no HTTP"
NO_UPGRADE = "messages of a WebSocket whose upgrade is not there"
# One entry a line. ASCII: what a peer sent may be no Unicode at all, such as half a surrogate pair.
_json = json.JSONEncoder(separators=(",", ":"), check_circular=False)


class Har(Exporter):
    """Entries stand in the order in which they completed, WebSockets where they ended."""

    format: ClassVar[str] = "har"

    def __init__(self, target: str, body_limit: int = MIB) -> None:
        super().__init__(target, body_limit)
        self._chats = Chats(body_limit)
        self._comma = b"\n"

    def begin(self) -> bytes:
        creator = _json.encode({"name": "PySniff", "version": _version()})
        return f'{{"log":{{"version":"1.2","creator":{creator},"pages":[],"entries":['.encode()

    def encode(self, entry: Entry) -> bytes:
        if entry.protocol == "ws":
            ended = self._chats.add(entry)
            if ended is None:
                self.left_out[NO_UPGRADE] += 1
                return b""
            return self._lines(ended)
        if not isinstance(entry.request or entry.response, HttpMessage):
            self.left_out[NO_HTTP] += 1
            return b""
        record = har_entry(entry, self.body_limit)
        return self._lines(self._chats.begin(entry.stream, record) if is_upgrade(entry) else [record])

    def end(self) -> bytes:
        return self._lines(self._chats.end()) + b"\n]}}\n"

    def _lines(self, records: Iterable[dict[str, Any]]) -> bytes:
        parts = []
        for record in records:
            parts += [self._comma, _json.encode(record).encode("ascii")]
            self._comma = b",\n"
        return b"".join(parts)


def _version() -> str:
    try:
        return version("pysniff")
    except PackageNotFoundError:
        return ""
