"""Names, record data and codes of DNS as people write them (RFC 1035 §5, RFC 3597, RFC 9460).

Every function takes the whole message, because names point into it, and raises Bad or Cut.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop

# IANA "Domain Name System (DNS) Parameters".
TYPES = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
    12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT",
    22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT",
    33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 40: "SINK", 41: "OPT", 42: "APL",
    43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
    51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC",
    63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 104: "NID", 105: "L32", 106: "L64", 107: "LP", 108: "EUI48",
    109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA", 255: "ANY",
    256: "URI", 257: "CAA", 32768: "TA", 32769: "DLV",
}  # fmt: skip
CLASSES = {1: "IN", 2: "CS", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
OPCODES = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}
RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI", 16: "BADVERS", 17: "BADKEY", 18: "BADTIME",
    19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}  # fmt: skip
_SVC_KEYS = {0: "mandatory", 1: "alpn", 2: "no-default-alpn", 3: "port", 4: "ipv4hint", 5: "ech", 6: "ipv6hint"}

NAME_BYTES = 255  # RFC 1035 §2.3.4, on the wire
JUMPS = 32  # pointers in one name; encoders make one or two, and thousands of names may point at one chain
_ODD = re.compile(rb'[^!-~]|[.\\"();@$]')


class Bad(Exception):
    """The bytes are not what DNS allows here."""


class Cut(Exception):
    """The message ends too early."""


def type_name(code: int) -> str:
    return TYPES.get(code) or f"TYPE{code}"


def class_name(code: int) -> str:
    return CLASSES.get(code) or f"CLASS{code}"


def _escaped(found: re.Match[bytes]) -> bytes:
    byte = found[0][0]
    return b"\\%c" % byte if 0x21 <= byte <= 0x7E else b"\\%03d" % byte


def name(message: bytes, at: int) -> tuple[str, int]:
    """The name at `at` without its last dot ("." for the root), and where it ends.

    A pointer may only go back (RFC 1035 §4.1.4: "a prior occurrence"), so there is no loop.
    """
    labels: list[bytes] = []
    size = 1
    end = -1
    floor = at
    jumps = 0
    while True:
        length = _byte(message, at)
        if length == 0:
            break
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | _byte(message, at + 1)
            if end < 0:
                end = at + 2
            jumps += 1
            if target >= floor or jumps > JUMPS:
                raise Bad("a name points forward" if target >= floor else f"more than {JUMPS} pointers in a name")
            floor = at = target
        elif length >= 0x40:
            raise Bad("an unknown label type")
        else:
            size += length + 1
            if size > NAME_BYTES:
                raise Bad(f"a name of more than {NAME_BYTES} bytes")
            label = message[at + 1 : at + 1 + length]
            if len(label) < length:
                raise Cut
            labels.append(_ODD.sub(_escaped, label))
            at += 1 + length
    return b".".join(labels).decode("ascii") or ".", at + 1 if end < 0 else end


def skip_name(message: bytes, at: int) -> int:
    """Where the name at `at` ends; its pointers are not followed."""
    start = at
    while True:
        length = _byte(message, at)
        if length >= 0xC0:
            _byte(message, at + 1)
            if (length & 0x3F) << 8 | message[at + 1] >= start:
                raise Bad("a name points forward")
            return at + 2
        if length >= 0x40:
            raise Bad("an unknown label type")
        at += 1 + length
        if length == 0:
            return at
        if at - start >= NAME_BYTES:
            raise Bad(f"a name of more than {NAME_BYTES} bytes")


def _byte(message: bytes, at: int) -> int:
    try:
        return message[at]
    except IndexError:
        raise Cut from None


def data(message: bytes, kind: int, start: int, end: int) -> str:
    """The data of one record in presentation form, or as RFC 3597 §5 writes what nobody knows."""
    write = _WRITERS.get(kind)
    if write is not None:
        try:
            # What lies behind the record is none of its business; what lies before it may be pointed at.
            return write(message[:end], start)
        except (Bad, Cut, IndexError, struct.error, ValueError):
            pass
    return unknown(message[start:end])


def unknown(content: bytes) -> str:
    return f"\\# {len(content)} {content.hex()}".rstrip()


def _quoted(content: bytes) -> str:
    escaped = re.sub(rb'[^ -~]|["\\]', _escaped, content)
    return f'"{escaped.decode("ascii")}"'


def _strings(message: bytes, at: int) -> list[bytes]:
    found = []
    while at < len(message):
        length = message[at]
        if at + 1 + length > len(message):
            raise Cut
        found.append(message[at + 1 : at + 1 + length])
        at += 1 + length
    return found


def _a(message: bytes, at: int) -> str:
    return inet_ntop(AF_INET, message[at:])


def _aaaa(message: bytes, at: int) -> str:
    return inet_ntop(AF_INET6, message[at:])


def _names(count: int, numbers: str = "") -> Callable[[bytes, int], str]:
    """A writer for numbers (a struct format) followed by names."""
    shape = struct.Struct("!" + numbers)

    def write(message: bytes, at: int) -> str:
        words = [str(number) for number in shape.unpack_from(message, at)]
        at += shape.size
        for _ in range(count):
            word, at = name(message, at)
            words.append(word)
        return " ".join(words)

    return write


def _soa(message: bytes, at: int) -> str:
    primary, at = name(message, at)
    mailbox, at = name(message, at)
    return " ".join([primary, mailbox, *map(str, struct.unpack_from("!5I", message, at))])


def _txt(message: bytes, at: int) -> str:
    return " ".join(map(_quoted, _strings(message, at)))


def _naptr(message: bytes, at: int) -> str:
    order, preference = struct.unpack_from("!HH", message, at)
    at += 4
    words = [str(order), str(preference)]
    for _ in range(3):
        length = message[at]
        words.append(_quoted(message[at + 1 : at + 1 + length]))
        at += 1 + length
    return " ".join([*words, name(message, at)[0]])


def _hexed(numbers: str) -> Callable[[bytes, int], str]:
    """A writer for numbers followed by bytes in hexadecimal: DS, TLSA, SSHFP."""
    shape = struct.Struct("!" + numbers)

    def write(message: bytes, at: int) -> str:
        words = [str(number) for number in shape.unpack_from(message, at)]
        return " ".join([*words, message[at + shape.size :].hex()])

    return write


def _dnskey(message: bytes, at: int) -> str:
    flags, protocol, algorithm = struct.unpack_from("!HBB", message, at)
    return f"{flags} {protocol} {algorithm} {_base64(message[at + 4 :])}"


def _rrsig(message: bytes, at: int) -> str:
    covered, algorithm, labels, ttl, expires, begins, tag = struct.unpack_from("!HBBIIIH", message, at)
    signer, at = name(message, at + 18)
    words = (type_name(covered), algorithm, labels, ttl, expires, begins, tag, signer, _base64(message[at:]))
    return " ".join(map(str, words))


def _bitmap(message: bytes, at: int) -> list[str]:
    """The type names of an NSEC bitmap (RFC 4034 §4.1.2)."""
    found = []
    while at < len(message):
        window, length = message[at], message[at + 1]
        for index, byte in enumerate(message[at + 2 : at + 2 + length]):
            found += [type_name(window << 8 | index << 3 | bit) for bit in range(8) if byte & 0x80 >> bit]
        at += 2 + length
    return found


def _nsec(message: bytes, at: int) -> str:
    following, at = name(message, at)
    return " ".join([following, *_bitmap(message, at)])


def _salted(message: bytes, at: int) -> tuple[list[str], int]:
    algorithm, flags, iterations, length = struct.unpack_from("!BBHB", message, at)
    salt = message[at + 5 : at + 5 + length].hex() or "-"
    return [str(algorithm), str(flags), str(iterations), salt], at + 5 + length


def _nsec3(message: bytes, at: int) -> str:
    words, at = _salted(message, at)
    length = message[at]
    following = base64.b32hexencode(message[at + 1 : at + 1 + length]).decode("ascii").rstrip("=")
    return " ".join([*words, following, *_bitmap(message, at + 1 + length)])


def _nsec3param(message: bytes, at: int) -> str:
    return " ".join(_salted(message, at)[0])


def _caa(message: bytes, at: int) -> str:
    flags, length = message[at], message[at + 1]
    tag = _ODD.sub(_escaped, message[at + 2 : at + 2 + length]).decode("ascii")
    return f"{flags} {tag} {_quoted(message[at + 2 + length :])}"


def _uri(message: bytes, at: int) -> str:
    priority, weight = struct.unpack_from("!HH", message, at)
    return f"{priority} {weight} {_quoted(message[at + 4 :])}"


def _svcb(message: bytes, at: int) -> str:
    (priority,) = struct.unpack_from("!H", message, at)
    target, at = name(message, at + 2)
    words = [str(priority), target]
    while at < len(message):
        key, length = struct.unpack_from("!HH", message, at)
        value = message[at + 4 : at + 4 + length]
        if len(value) < length:
            raise Cut
        words.append(_svc_parameter(key, value))
        at += 4 + length
    return " ".join(words)


def _svc_parameter(key: int, value: bytes) -> str:
    label = _SVC_KEYS.get(key, f"key{key}")
    if key == 0:
        return f"{label}={','.join(_SVC_KEYS.get(each, f'key{each}') for (each,) in struct.iter_unpack('!H', value))}"
    if key == 1:
        return f"{label}={_quoted(b','.join(_strings(value, 0)))}"
    if key == 3:
        return f"{label}={struct.unpack('!H', value)[0]}"
    if key == 4:
        return f"{label}={','.join(inet_ntop(AF_INET, value[at : at + 4]) for at in range(0, len(value), 4))}"
    if key == 5:
        return f"{label}={_base64(value)}"
    if key == 6:
        return f"{label}={','.join(inet_ntop(AF_INET6, value[at : at + 16]) for at in range(0, len(value), 16))}"
    return f"{label}={_quoted(value)}" if value else label


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


_NAME = _names(1)
_WRITERS: dict[int, Callable[[bytes, int], str]] = {
    1: _a, 28: _aaaa, 6: _soa, 15: _names(1, "H"), 33: _names(1, "HHH"), 35: _naptr, 36: _names(1, "H"),
    2: _NAME, 3: _NAME, 4: _NAME, 5: _NAME, 7: _NAME, 8: _NAME, 9: _NAME, 12: _NAME, 39: _NAME,
    14: _names(2), 17: _names(2), 18: _names(1, "H"), 21: _names(1, "H"), 107: _names(1, "H"),
    13: _txt, 16: _txt, 99: _txt, 43: _hexed("HBB"), 59: _hexed("HBB"), 32769: _hexed("HBB"), 44: _hexed("BB"),
    52: _hexed("BBB"), 53: _hexed("BBB"), 48: _dnskey, 60: _dnskey, 46: _rrsig, 47: _nsec, 50: _nsec3,
    51: _nsec3param, 257: _caa, 256: _uri, 64: _svcb, 65: _svcb,
}  # fmt: skip
