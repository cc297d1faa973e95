"""Keys out of secrets.

The PRFs of TLS 1.0 to 1.2 (RFC 2246 §5, RFC 5246 §5), HKDF-Expand-Label of 1.3 (RFC 8446 §7.1).
"""

from __future__ import annotations

from hmac import digest
from struct import pack
from typing import NamedTuple

from pysniff.message import Side
from pysniff.tls.numbers import TLS11, TLS12
from pysniff.tls.suites import Suite


def _p_hash(name: str, secret: bytes, seed: bytes, size: int) -> bytes:
    out = b""
    a = seed
    while len(out) < size:
        a = digest(secret, a, name)
        out += digest(secret, a + seed, name)
    return out[:size]


def prf(version: int, name: str, secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """`name`: the suite's hash, which counts from TLS 1.2 on."""
    if version >= TLS12:
        return _p_hash(name, secret, label + seed, size)
    half = (len(secret) + 1) // 2
    one = _p_hash("md5", secret[:half], label + seed, size)
    other = _p_hash("sha1", secret[-half:], label + seed, size)
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def expand_label(name: str, secret: bytes, label: bytes, size: int) -> bytes:
    """With an empty context."""
    info = pack("!HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
    out = block = b""
    count = 1
    while len(out) < size:
        block = digest(secret, block + info + bytes([count]), name)
        out += block
        count += 1
    return out[:size]


class RecordKeys(NamedTuple):
    """What protects one half. `iv`: the fixed part of the nonce; of CBC in TLS 1.0 the first one; `mac`: of CBC."""

    key: bytes
    iv: bytes
    mac: bytes = b""


def traffic_keys(suite: Suite, secret: bytes) -> RecordKeys:
    """TLS 1.3: `secret` is a traffic secret."""
    return RecordKeys(expand_label(suite.hash, secret, b"key", suite.key), expand_label(suite.hash, secret, b"iv", 12))


def next_secret(suite: Suite, secret: bytes) -> bytes:
    """After a KeyUpdate."""
    return expand_label(suite.hash, secret, b"traffic upd", len(secret))


_MACS = {"": 0, "sha1": 20, "sha256": 32, "sha384": 48}
_BLOCKS = {"aes_cbc": 16, "3des_cbc": 8}


def block_keys(
    suite: Suite, version: int, master: bytes, client_random: bytes, server_random: bytes, side: Side
) -> RecordKeys:
    """TLS 1.0 to 1.2: `side`'s keys out of the master secret (RFC 5246 §6.3)."""
    mac = _MACS[suite.mac]
    if suite.mac:
        iv = 0 if version >= TLS11 else _BLOCKS[suite.cipher]
    else:
        iv = 12 if suite.cipher == "chacha20" else 4
    sizes = (mac, suite.key, iv)
    block = prf(version, suite.hash, master, b"key expansion", server_random + client_random, 2 * sum(sizes))
    parts = []
    at = 0
    for size in sizes:
        begin = at + side * size
        parts.append(block[begin : begin + size])
        at += 2 * size
    return RecordKeys(parts[1], parts[2], parts[0])
