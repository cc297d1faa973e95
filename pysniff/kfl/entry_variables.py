"""The filter variables that entries of every protocol have: who, when, from where, and how complete."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, INT, STRING, TIMESTAMP, ListType

if TYPE_CHECKING:
    from collections.abc import Callable

    from pysniff.entry import Entry

NETWORK, IDENTITY, CAPTURE, COMPLETENESS = "Network", "Identity", "Capture", "Completeness"
FLAGS, NAMES = "Protocol flags", "Names and Kubernetes"


def _node(entry: Entry) -> str:
    return entry.nodes[0]


def _completed(entry: Entry) -> int:
    return entry.completed_ns if entry.state == "closed" else 0


def _elapsed_time(entry: Entry) -> int:
    return entry.elapsed_time or 0


def _is_complete(entry: Entry) -> bool:
    return entry.completeness == "complete"


def _faults(entry: Entry) -> list[str]:
    return list(dict.fromkeys(fault.kind for fault in entry.faults))


def _gap_bytes(entry: Entry) -> int:
    return sum(fault.bytes for fault in entry.faults if fault.kind == "gap")


def _src_dns(entry: Entry) -> str:
    return entry.resolved[0]


def _dst_dns(entry: Entry) -> str:
    return entry.resolved[1]


def _resolutions(entry: Entry) -> list[str]:
    return list(dict.fromkeys(name for name in entry.resolved if name))


def flag(protocol: str) -> Callable[[Entry], bool]:
    """Whether an entry is of this protocol."""

    def read(entry: Entry) -> bool:
        return entry.protocol == protocol

    return read


VARIABLES = (
    Variable("src.ip", STRING, "address of the client", NETWORK, attrgetter("src.ip")),
    Variable("dst.ip", STRING, "address of the server", NETWORK, attrgetter("dst.ip")),
    Variable("src.port", INT, "port of the client", NETWORK, attrgetter("src.port")),
    Variable("dst.port", INT, "port of the server", NETWORK, attrgetter("dst.port")),
    Variable(
        "protocol",
        STRING,
        "http, grpc, ws, dns, redis ...; tcp or udp where nobody knows",
        NETWORK,
        attrgetter("protocol"),
    ),
    Variable("id", STRING, "of the entry: node, flow, position", IDENTITY, attrgetter("id")),
    Variable("node_id", STRING, "the node that captured it", IDENTITY, _node),
    Variable("stream", STRING, "the conversation: the same for all its entries", IDENTITY, attrgetter("stream")),
    Variable("timestamp", TIMESTAMP, "when its first byte was seen", IDENTITY, attrgetter("time_ns")),
    Variable("completed", TIMESTAMP, "when its last byte was seen; 1970 while it is open", IDENTITY, _completed),
    Variable("state", STRING, "open or closed", IDENTITY, attrgetter("state")),
    Variable(
        "elapsed_time",
        INT,
        "microseconds from the first byte of the request to the last of the response; 0 where unanswered",
        IDENTITY,
        _elapsed_time,
    ),
    Variable(
        "capture_source", STRING, "file, af_packet, libpcap, keylog, ebpf_tls", CAPTURE, attrgetter("capture_source")
    ),
    Variable("complete", BOOL, "nothing of it is missing or unsure", COMPLETENESS, _is_complete),
    Variable(
        "completeness",
        STRING,
        "complete, gap, truncated, midstream or inferred",
        COMPLETENESS,
        attrgetter("completeness"),
    ),
    Variable(
        "faults",
        ListType(STRING),
        "what is odd: gap, malformed, unanswered, unrequested, truncated, midstream, inferred, overlap",
        COMPLETENESS,
        _faults,
    ),
    Variable("gap_bytes", INT, "bytes of it that were lost", COMPLETENESS, _gap_bytes),
    Variable("tcp", BOOL, "a TCP conversation that nobody recognised", FLAGS, flag("tcp")),
    Variable("udp", BOOL, "a UDP conversation that nobody recognised", FLAGS, flag("udp")),
    Variable("src.name", STRING, "pod, service, name in DNS or process of the client", NAMES, attrgetter("src.name")),
    Variable("dst.name", STRING, "pod, service, name in DNS or process of the server", NAMES, attrgetter("dst.name")),
    Variable("src.dns", STRING, "name of the client in DNS", NAMES, _src_dns),
    Variable("dst.dns", STRING, "name of the server in DNS", NAMES, _dst_dns),
    Variable("dns_resolutions", ListType(STRING), "names that the addresses were resolved from", NAMES, _resolutions),
)
