"""Opens records: AEAD of TLS 1.3 and 1.2, CBC with its MAC in either order.

The one module that needs `cryptography`: it is imported with the first record that is opened.
"""

from __future__ import annotations

from hmac import compare_digest, digest
from struct import Struct

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from pysniff.tls.numbers import TLS10, TLS13
from pysniff.tls.opener import Opened, Opener
from pysniff.tls.schedule import RecordKeys
from pysniff.tls.suites import Suite

HEADER = 5
_SEQUENCE = Struct("!Q")
_SIZE = Struct("!H")


def make(suite: Suite, version: int, keys: RecordKeys, encrypt_then_mac: bool) -> Opener | None:
    """None where this build of `cryptography` does not have the cipher. `encrypt_then_mac`: agreed on (RFC 7366)."""
    try:
        if suite.mac:
            return Cbc(suite, version, keys, encrypt_then_mac)
        return Aead13(suite, keys) if version >= TLS13 else Aead12(suite, keys)
    except UnsupportedAlgorithm:
        return None


def _aead(suite: Suite, key: bytes) -> AESGCM | AESCCM | ChaCha20Poly1305:
    if suite.cipher == "gcm":
        return AESGCM(key)
    return AESCCM(key, suite.tag) if suite.cipher == "ccm" else ChaCha20Poly1305(key)


class Aead13(Opener):
    """RFC 8446 §5.2."""

    __slots__ = ("_decrypt", "_iv")

    def __init__(self, suite: Suite, keys: RecordKeys) -> None:
        super().__init__(HEADER + suite.tag + 1)
        self._decrypt = _aead(suite, keys.key).decrypt
        self._iv = int.from_bytes(keys.iv, "big")

    def open(self, header: bytes, body: memoryview) -> Opened | None:
        try:
            plain = self._decrypt((self._iv ^ self.sequence).to_bytes(12, "big"), body, header)
        except (InvalidTag, ValueError):
            return None
        self.sequence += 1
        if plain and plain[-1]:
            return plain[-1], plain[:-1]
        padded = plain.rstrip(b"\0")
        return (padded[-1], padded[:-1]) if padded else (0, b"")


class Aead12(Opener):
    """RFC 5246 §6.2.3.3; GCM (RFC 5288) and CCM (RFC 6655) say a part of the nonce, ChaCha20 (RFC 7905) does not."""

    __slots__ = ("_decrypt", "_iv", "_explicit", "_tag", "_fixed")

    def __init__(self, suite: Suite, keys: RecordKeys) -> None:
        self._explicit = 0 if suite.cipher == "chacha20" else 8
        self._tag = suite.tag
        super().__init__(HEADER + self._explicit + suite.tag)
        self._decrypt = _aead(suite, keys.key).decrypt
        self._fixed = keys.iv
        self._iv = int.from_bytes(keys.iv, "big")

    def open(self, header: bytes, body: memoryview) -> Opened | None:
        explicit = self._explicit
        size = len(body) - explicit - self._tag
        if size < 0:
            return None
        if explicit:
            nonce = self._fixed + body[:explicit]
        else:
            nonce = (self._iv ^ self.sequence).to_bytes(12, "big")
        data = _SEQUENCE.pack(self.sequence) + header[:3] + _SIZE.pack(size)
        try:
            plain = self._decrypt(nonce, body[explicit:], data)
        except (InvalidTag, ValueError):
            return None
        self.sequence += 1
        return header[0], plain


class Cbc(Opener):
    """RFC 5246 §6.2.3.2. In TLS 1.0 the IV is the end of the record before; None while that is unknown."""

    __slots__ = ("_algorithm", "_block", "_mac", "_name", "_size", "_first", "_iv")

    def __init__(self, suite: Suite, version: int, keys: RecordKeys, encrypt_then_mac: bool) -> None:
        super().__init__(0)
        self.chained = version <= TLS10
        self._block = 16 if suite.cipher == "aes_cbc" else 8
        self._algorithm = algorithms.AES(keys.key) if suite.cipher == "aes_cbc" else TripleDES(keys.key)
        self._mac = keys.mac
        self._name = suite.mac
        self._size = len(keys.mac)
        self._first = encrypt_then_mac
        self._iv: bytes | None = keys.iv
        Cipher(self._algorithm, modes.CBC(bytes(self._block))).decryptor()  # to hear now whether there is one

    def open(self, header: bytes, body: memoryview) -> Opened | None:
        return self.find(header, body, 0, 0)

    def find(self, header: bytes, body: memoryview, least: int, most: int) -> Opened | None:
        data, mac = (body[: -self._size], bytes(body[-self._size :])) if self._first else (body, b"")
        if self._first:
            found = self._authentic(header, bytes(data), mac, least, most)
            plain = self._unpadded(data) if found is not None else None
        else:
            plain = self._unpadded(data)
            if plain is None or len(plain) < self._size:
                return None
            plain, mac = plain[: -self._size], plain[-self._size :]
            found = self._authentic(header, plain, mac, least, most)
        if found is None or plain is None:
            return None
        self.sequence = found + 1
        if self.chained:
            self._iv = bytes(data[-self._block :])
        return header[0], plain

    def may_be(self, body: memoryview) -> bool:
        size = len(body) - self._size * self._first
        return self.chained and size > 0 and size % self._block == 0

    def skip(self, body: memoryview) -> None:
        data = body[: -self._size] if self._first else body
        if self.chained and len(data) >= self._block:
            self._iv = bytes(data[-self._block :])

    def chain(self) -> bytes:
        return (self._iv or b"") if self.chained else b""

    def go_on(self, sequence: int, chain: bytes) -> None:
        self.sequence = sequence
        if self.chained:
            self._iv = chain[-self._block :] if len(chain) >= self._block else None

    def lose(self) -> None:
        self._iv = None if self.chained else self._iv

    def _authentic(self, header: bytes, data: bytes, mac: bytes, least: int, most: int) -> int | None:
        """Which sequence number the MAC is for."""
        rest = header[:3] + _SIZE.pack(len(data)) + data
        for sequence in range(self.sequence + least, self.sequence + most + 1):
            self.tries += 1
            if compare_digest(digest(self._mac, _SEQUENCE.pack(sequence) + rest, self._name), mac):
                return sequence
        return None

    def _unpadded(self, data: memoryview) -> bytes | None:
        """Decrypted, without IV and padding."""
        iv, block = self._iv, self._block
        if not self.chained:
            iv, data = bytes(data[:block]), data[block:]
        if iv is None or len(iv) < block or not data or len(data) % block:
            return None
        decryptor = Cipher(self._algorithm, modes.CBC(iv)).decryptor()
        plain = decryptor.update(data) + decryptor.finalize()
        padding = plain[-1] + 1
        if padding > len(plain) or plain[-padding:] != plain[-1:] * padding:
            return None
        return plain[:-padding]
