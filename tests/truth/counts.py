"""DNS and Redis, of which the truth knows counts only: messages by kind, and the values of a Redis conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from truth.corpus import Capture
from truth.verdict import Disagreement, Result

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
# What tshark counts and nobody sent as a message, or nobody can read. Quotes in ICMP errors are what
# `tshark -Y "(icmp || icmpv6) && dns" -T fields -e dns.flags.response` lists (RFC 792: the error carries the header
# and first bytes of the datagram that it is about).
QUOTED = "DNS quoted in ICMP errors"
APART: dict[str, tuple[str, Mapping[str, int]]] = {
    "pcap/wireshark-wiki/GIF__network_capture.pcap": (QUOTED, {"dns.query": 2}),
    "pcap/wireshark-wiki/attachment_SLL_Simple.pcap": (QUOTED, {"dns.query": 16}),
    "pcap/wireshark-wiki/nb6-http.pcap": (QUOTED, {"dns.response": 1}),
    "pcap/wireshark-wiki/v6.pcap": (QUOTED, {"dns.response": 1}),
    "pcap/wireshark/communityid.pcap.gz": (QUOTED, {"dns.response": 1}),
    "pcap/wireshark/dns-mdns.pcap": (QUOTED, {"dns.query": 20}),
    "pcap/wireshark/wireguard-ping-tcp-dsb.pcapng": ("inside WireGuard", {"dns.query": 2, "dns.response": 2}),
    # Datagrams to port 53 that say b"test payload from port 10000" and so on.
    "pcap/pcapsql/fuzz__corpus__fuzz_pcap_reader__triple_encap_vxlan_ipinip.pcap": (
        "not DNS, by its port alone",
        {"dns.query": 100},
    ),
    # One reply of 222,942 bytes in frames 6 to 18: tshark dissects what is there again in each of them (381 arrays,
    # 756, 959 ... 2,650). Without frames 6, 8, 9, 11, 12, 15 and 17, its own figures are the ones that remain here.
    "pcap/mercury/unit_tests__pcaps__redis.pcap": (
        "Redis reply dissected again",
        {"redis.arrays": 12481 - 2655, "redis.strings": 62558 - 13294, "redis.integers": 1161 - 233},
    ),
}


def wanted(capture: Capture) -> Counter[str]:
    """What the count record says, what is apart aside: dns.query, dns.response, redis.arrays, redis.strings ..."""
    counts: Counter[str] = Counter()
    for record in capture.of("count"):
        dns = record.get("dns", {})
        for flag, n in dns.get("response", {}).items():
            counts["dns.response" if flag in ("1", "True") else "dns.query"] += n
        for name, n in record.get("resp", {}).items():
            counts[f"redis.{TSHARK[name]}"] += n
    _, aside = APART.get(capture.path, ("", {}))
    counts.subtract(aside)
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


def judge(capture: Capture, entries: Iterable[Mapping[str, Any]]) -> Result:
    """Records by kind, and every count that differs, weighing as many records as it is off."""
    want, have = wanted(capture), found(entries)
    bad = [
        Disagreement(capture.path, f"count {name}", str(have[name]), str(want[name]), abs(have[name] - want[name]))
        for name in sorted(want | have)
        if have[name] != want[name]
    ]
    reason, aside = APART.get(capture.path, ("", {}))
    return Result(want, Counter({reason: sum(aside.values())}), 0, bad)
