"""DNS and Redis, of which the truth knows counts only: messages by kind, and the values of a Redis conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from truth.corpus import Capture
from truth.match import Disagreement

# The kinds of RESP2 values as both sides can tell them: tshark's count, and the type that our record gives.
# What is inside an array is plain JSON, so that strings are one kind.
TSHARK = {
    "arrays": "arrays",
    "bulk_strings": "strings",
    "simple_strings": "strings",
    "integers": "integers",
    "errors": "errors",
}
RESP = {
    "array": "arrays",
    "bulk_string": "strings",
    "simple_string": "strings",
    "integer": "integers",
    "error": "errors",
}
RESP["null"] = "strings"  # $-1 is a bulk string to tshark
# tshark counts the DNS message that an ICMP error quotes as if it had been sent once more: queries, responses
# that `tshark -Y "(icmp || icmpv6) && dns" -T fields -e dns.flags.response` lists. RFC 792: the error carries
# the header and first bytes of the datagram that it is about; nobody sent a message there.
QUOTED = {
    "pcap/wireshark-wiki/GIF__network_capture.pcap": (2, 0),
    "pcap/wireshark-wiki/attachment_SLL_Simple.pcap": (16, 0),
    "pcap/wireshark-wiki/nb6-http.pcap": (0, 1),
    "pcap/wireshark-wiki/v6.pcap": (0, 1),
    "pcap/wireshark/communityid.pcap.gz": (0, 1),
    "pcap/wireshark/dns-mdns.pcap": (20, 0),
}

# DNS inside WireGuard, whose keys the capture carries: as records inside TLS.
ENCRYPTED = {"pcap/wireshark/wireguard-ping-tcp-dsb.pcapng": (2, 2)}


def wanted(capture: Capture) -> Counter[str]:
    """What the count record says, quotes aside: dns.query, dns.response, redis.arrays, redis.strings ..."""
    counts: Counter[str] = Counter()
    for record in capture.of("count"):
        dns = record.get("dns", {})
        for flag, n in dns.get("response", {}).items():
            counts["dns.response" if flag in ("1", "True") else "dns.query"] += n
        for name, n in record.get("resp", {}).items():
            counts[f"redis.{TSHARK[name]}"] += n
    for table in (QUOTED, ENCRYPTED):
        queries, responses = table.get(capture.path, (0, 0))
        counts -= Counter({"dns.query": queries, "dns.response": responses})
    return counts


def found(entries: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The same of our entries as JSON."""
    counts: Counter[str] = Counter()
    for entry in entries:
        request, response = entry["request"], entry["response"]
        if entry["protocol"] == "dns":
            for message in (request, response):
                if message is not None:
                    # An answer that nobody asked for stands alone, and says what it is.
                    counts["dns.response" if "rcode" in message else "dns.query"] += 1
        elif entry["protocol"] == "redis":
            if request is not None:
                counts["redis.arrays"] += 1
                counts["redis.strings"] += 1 + len(request["args"])
            if response is not None:
                counts[f"redis.{RESP[response['type']]}"] += 1
                _inner(response["value"], counts)
    return counts


def _inner(value: object, counts: Counter[str]) -> None:
    """What is in an array: plain JSON, in RESP2 from bulk strings, integers and arrays."""
    for item in value if isinstance(value, list) else ():
        kind = (
            "array"
            if isinstance(item, list)
            else "integer"
            if isinstance(item, int)
            else "error"
            if isinstance(item, dict) and "error" in item
            else "bulk_string"
        )
        counts[f"redis.{RESP[kind]}"] += 1
        _inner(item, counts)


def judge(capture: Capture, entries: Iterable[Mapping[str, Any]]) -> tuple[Counter[str], list[Disagreement]]:
    """Records by kind, and every count that differs, weighing as many records as it is off."""
    want, have = wanted(capture), found(entries)
    bad = [
        Disagreement(capture.path, f"count {name}", str(have[name]), str(want[name]), abs(have[name] - want[name]))
        for name in sorted(want | have)
        if have[name] != want[name]
    ]
    return want, bad
