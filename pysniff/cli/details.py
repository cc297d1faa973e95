"""What stands under an entry's line: heads with -v; bodies, gaps and faults in words with -vv.

`>` is what the client sent, `<` what came back, `!` what is odd about it, `#` what it was
encrypted with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pysniff.cli.decryption import encryption_line
from pysniff.cli.dns_lines import dns_lines
from pysniff.cli.grpc_lines import message_lines, outcome_lines
from pysniff.cli.terminal import Terminal, visible

if TYPE_CHECKING:
    from pysniff.entry import Entry
    from pysniff.message import Fault, Message

HEX_BYTES = 256  # of a binary body shown: 16 lines
LIST_MOST = 6  # names of a handshake's list shown with -v: a ClientHello has 60 cipher suites
VALUE_BYTES = 1024  # of a value shown with -v where a protocol has no body apart: a Redis reply
_indenting = json.JSONEncoder(ensure_ascii=False, indent=2)


def details(entry: Entry, terminal: Terminal, body_limit: int | None) -> Iterator[str]:
    """Lines for one entry; bodies up to `body_limit` bytes, or none where it is None."""
    if entry.tls is not None:
        yield "    " + terminal.paint("#", "green") + f" {visible(encryption_line(entry.tls))}"
    told = 0
    for mark, style, message in ((">", "blue", entry.request), ("<", "magenta", entry.response)):
        if message is None:
            continue
        prefix = "    " + terminal.paint(mark, style) + " "
        record = message.to_dict(VALUE_BYTES if body_limit is None else body_limit)
        for text in handshake_lines(record, body_limit) if entry.protocol == "tlsx" else head_lines(record, entry):
            yield prefix + visible(text)
        if body_limit is not None:
            for text in body_lines(record, message):
                yield prefix + visible(text)
            # What is odd about one half stands under it.
            faults = message.every_fault
            told += len(faults)
            yield from _fault_lines(faults, terminal)
    if body_limit is not None:
        faults = entry.faults
        yield from _fault_lines(faults[: len(faults) - told], terminal)


def _fault_lines(faults: Sequence[Fault], terminal: Terminal) -> Iterator[str]:
    for fault in faults:
        size = f" ({fault.bytes:,} bytes)" if fault.bytes else ""
        yield "    " + terminal.paint(f"! {visible(fault.kind)}: {visible(fault.message)}{size}", "yellow")


def head_lines(record: Mapping[str, Any], entry: Entry) -> Iterator[str]:
    """The head as the protocol writes it, or each field of the record on its own line."""
    if "frames" in record:
        yield _websocket_head(record)
        return
    if entry.protocol == "dns":
        yield from dns_lines(record)
        return
    if "headers" not in record:
        for name, value in record.items():
            if name != "body" and value is not False and value not in (None, "", [], {}):
                yield f"{name}: {value if isinstance(value, str) else _compact(value)}"
        return
    for interim in record.get("interim") or ():
        if isinstance(interim, Mapping):
            yield from _http_head(interim, entry.version)
    yield from _http_head(record, entry.version)
    trailers: Sequence[Sequence[str]] = record.get("trailers") or ()
    if trailers:
        yield ""
        for name, value in trailers:
            yield f"{name}: {value}"
    if "message_count" in record:
        yield from outcome_lines(record)


def handshake_lines(record: Mapping[str, Any], body_limit: int | None) -> Iterator[str]:
    """The fields of a TLS handshake; of long lists the first names, unless everything is wanted."""
    for name, value in record.items():
        if value is False or value in (None, "", []):
            continue
        if isinstance(value, list):
            names = value if body_limit is not None else value[:LIST_MOST]
            more = f", and {len(value) - len(names)} more" if len(value) > len(names) else ""
            value = ", ".join(map(str, names)) + more
        yield f"{name}: {value if isinstance(value, str) else _compact(value)}"


def _http_head(record: Mapping[str, Any], version: str) -> Iterator[str]:
    if "method" in record:
        yield f"{record['method']} {record.get('url', '')} HTTP/{version}"
        # HTTP/2 has it beside the fields; who reads along wants to know.
        if "stream_id" in record and record["host"] and not _has(record, "host"):
            yield f":authority: {record['host']}"
    else:
        yield f"HTTP/{version} {record.get('status', '')} {record.get('reason', '')}".rstrip()
    for name, value in record.get("headers") or ():
        yield f"{name}: {value}"


def _has(record: Mapping[str, Any], field: str) -> bool:
    return any(name.lower() == field for name, _ in record["headers"])


def _websocket_head(record: Mapping[str, Any]) -> str:
    """text, 331 bytes (191 as sent), 2 frames, subprotocol chat; close 1001, 12 bytes"""
    size, sent = record["size"], record["encoded_size"]
    code = record.get("code")
    words = [record["opcode"] + (f" {code}" if code is not None else ""), f"{size:,} byte{'' if size == 1 else 's'}"]
    if record["compressed"]:
        words[-1] += f" ({sent:,} as sent)"
    if record["frames"] > 1:
        words.append(f"{record['frames']:,} frames")
    if record["subprotocol"]:
        words.append(f"subprotocol {record['subprotocol']}")
    return ", ".join(words)


def body_lines(record: Mapping[str, Any], message: Message) -> Iterator[str]:
    """The body after an empty line: JSON indented, other text as it is, binary as a hex dump of its beginning.

    Of gRPC its messages.
    """
    if record.get("message_count"):
        yield ""
        yield from message_lines(record)
        return
    body = record if "frames" in record else record.get("body")
    if not isinstance(body, Mapping) or not body.get("size") or (body.get("code") is not None and not body["reason"]):
        return
    yield ""
    size: int = body["size"]
    if "base64" in body:
        data = base64.b64decode(body["base64"])
        yield from hex_lines(data[:HEX_BYTES])
        shown = min(len(data), HEX_BYTES)
    else:
        text: str = body.get("text", "")
        # A WebSocket says of its text only that it is some: most often it is JSON.
        yield from text_lines(text, str(body.get("mime_type", "json" if text[:1] in "{[" else "")))
        shown = len(text.encode("utf-8", "surrogatepass"))
        # Not all charsets take as many bytes as UTF-8: whether something is missing is the body's to say.
        if not body.get("truncated"):
            return
    if shown < size or body.get("truncated"):
        yield f"... {shown:,} of {size:,} bytes shown"


def text_lines(text: str, mime_type: str) -> Iterator[str]:
    if mime_type.endswith("json"):
        text = indented(text)
    for line in text.split("\n"):
        yield line.removesuffix("\r").expandtabs(8)


def indented(text: str) -> str:
    """JSON text indented, or as it is where it is cut, is no JSON, or nests so deep that spaces would bury it."""
    room = 4 * len(text) + 4096
    pieces = []
    try:
        for piece in _indenting.iterencode(json.loads(text)):
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                return text
    except (ValueError, RecursionError):
        return text
    return "".join(pieces)


def hex_lines(data: bytes) -> Iterator[str]:
    """As `xxd`: offset, bytes, and the printable ones of ASCII."""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  {text}"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
