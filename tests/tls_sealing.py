"""TLS made by hand: hellos with any field, and records sealed with keys of our choice, so that a test can say what no
library would: early data, a KeyUpdate at a place, a suite that nobody offers any more."""

from __future__ import annotations

import hmac
from random import Random
from struct import pack
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from talk import Step

from pysniff.message import CLIENT, SERVER, Side
from pysniff.secrets import Secret
from pysniff.tls.schedule import block_keys, next_secret, traffic_keys
from pysniff.tls.suites import suite

CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, END_OF_EARLY_DATA, ENCRYPTED_EXTENSIONS, FINISHED, KEY_UPDATE = 1, 2, 5, 8, 20, 24
SERVER_NAME, ALPN, ETM, EARLY, VERSIONS = 0, 16, 22, 42, 43
AES_GCM_13 = 0x1301
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
TLS13_OFFERED = (VERSIONS, b"\x02\x03\x04")
TLS13_CHOSEN = (VERSIONS, b"\x03\x04")
Extension = tuple[int, bytes]


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return pack("!BHH", kind, version, len(body)) + body


def message(kind: int, body: bytes = b"") -> bytes:
    """A handshake message."""
    return bytes([kind]) + vector(3, body)


def server_name(name: bytes) -> Extension:
    return SERVER_NAME, vector(2, b"\0" + vector(2, name))


def alpn(*names: bytes) -> Extension:
    return ALPN, vector(2, b"".join(vector(1, name) for name in names))


def listed(extensions: tuple[Extension, ...]) -> bytes:
    return vector(2, b"".join(pack("!H", number) + vector(2, data) for number, data in extensions))


def client_hello(
    random: bytes, *extensions: Extension, suites: tuple[int, ...] = (AES_GCM_13,), version: int = 0x0303
) -> bytes:
    """The message."""
    offered = vector(2, b"".join(pack("!H", number) for number in suites))
    body = pack("!H", version) + random + vector(1, b"") + offered + vector(1, b"\0")
    return message(CLIENT_HELLO, body + (listed(extensions) if extensions else b""))


def server_hello(
    random: bytes,
    *extensions: Extension,
    chosen: int = AES_GCM_13,
    version: int = 0x0303,
    compression: int = 0,
) -> bytes:
    body = pack("!H", version) + random + vector(1, b"") + pack("!HB", chosen, compression)
    return message(SERVER_HELLO, body + (listed(extensions) if extensions else b""))


class Sealer:
    """AES-GCM of TLS 1.3, under one traffic secret after the other."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._renew()

    def _renew(self) -> None:
        keys = traffic_keys(suite(AES_GCM_13) or Exception, self.secret)  # type: ignore[arg-type]
        self._key, self._iv, self._sequence = AESGCM(keys.key), int.from_bytes(keys.iv, "big"), 0

    def seal(self, kind: int, plain: bytes, padding: int = 0) -> bytes:
        inner = plain + bytes([kind]) + bytes(padding)
        header = pack("!BHH", DATA, 0x0303, len(inner) + 16)
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return header + self._key.encrypt(nonce, inner, header)

    def update(self) -> bytes:
        """A KeyUpdate, after which it goes on with the next key."""
        said = self.seal(HANDSHAKE, message(KEY_UPDATE, b"\0"))
        known = suite(AES_GCM_13)
        assert known is not None
        self.secret = next_secret(known, self.secret)
        self._renew()
        return said


class CbcSealer:
    """CBC of TLS 1.0 to 1.2, of any suite that has it."""

    def __init__(self, number: int, version: int, master: bytes, randoms: tuple[bytes, bytes], side: Side) -> None:
        known = suite(number)
        assert known is not None
        self._keys = block_keys(known, version, master, *randoms, side)
        self._name = known.mac
        self._block = 8 if known.cipher == "3des_cbc" else 16
        self._cipher = TripleDES(self._keys.key) if self._block == 8 else algorithms.AES(self._keys.key)
        self._version = version
        self._iv = self._keys.iv
        self._sequence = 0
        self._random = Random(side)

    def seal(self, kind: int, plain: bytes, more_padding: int = 0, etm: bool = False) -> bytes:
        head = pack("!QBH", self._sequence, kind, self._version)
        self._sequence += 1
        data = plain if etm else plain + self._mac(head, plain)
        padding = self._block - 1 - len(data) % self._block + more_padding * self._block
        iv = self._iv if self._version == 0x0301 else self._random.randbytes(self._block)
        encryptor = Cipher(self._cipher, modes.CBC(iv)).encryptor()
        sealed = encryptor.update(data + bytes([padding]) * (padding + 1)) + encryptor.finalize()
        self._iv = sealed[-self._block :]
        body = sealed if self._version == 0x0301 else iv + sealed
        return record(kind, body + self._mac(head, body) if etm else body, self._version)

    def _mac(self, head: bytes, data: bytes) -> bytes:
        return hmac.digest(self._keys.mac, head + vector(2, data), self._name)


class Scripted(NamedTuple):
    """A connection of TLS 1.3 up to the first application data."""

    opening: tuple[Step, ...]
    secrets: tuple[Secret, ...]
    client: Sealer
    server: Sealer
    early: Sealer


def scripted(*, early: bytes = b"", accepted: bool = False, seed: int = 1) -> Scripted:
    """`early`: what the client says before anybody answers."""
    chance = Random(seed)
    random = chance.randbytes(32)
    labels = (
        "CLIENT_EARLY_TRAFFIC_SECRET",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
    )
    secrets = tuple(Secret(label, random, chance.randbytes(32)) for label in labels)
    first, ours, theirs, client, server = (Sealer(secret.value) for secret in secrets)
    offered = (server_name(b"shop.example"), alpn(b"http/1.1"), TLS13_OFFERED, *([(EARLY, b"")] if early else []))
    said = record(HANDSHAKE, client_hello(random, *offered), 0x0301)
    if early:
        said += record(CHANGE, b"\1") + first.seal(DATA, early)
    extensions = listed((alpn(b"http/1.1"), *([(EARLY, b"")] if accepted else [])))
    answer = record(HANDSHAKE, server_hello(chance.randbytes(32), TLS13_CHOSEN)) + record(CHANGE, b"\1")
    answer += theirs.seal(HANDSHAKE, message(ENCRYPTED_EXTENSIONS, extensions) + message(FINISHED, bytes(32)))
    end = first.seal(HANDSHAKE, message(END_OF_EARLY_DATA)) if accepted else b""
    end += ours.seal(HANDSHAKE, message(FINISHED, bytes(32)))
    return Scripted(((CLIENT, said), (SERVER, answer), (CLIENT, end)), secrets, client, server, first)
