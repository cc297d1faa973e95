"""A TLS connection in packets, made in memory by Python's own ssl: whatever it says, and a key log that decrypts it."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Sequence
from pathlib import Path

from wire import MILLISECOND, Wire

from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Packet

MSS = 1400
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class TlsWire:
    """`keys`: the key log, which its secrets are added to. `certificate`: as Authority.issue() gives it."""

    def __init__(
        self,
        keys: Path,
        certificate: tuple[Path, Path],
        *,
        version: ssl.TLSVersion = TLS13,
        ciphers: str = "",
        alpn: Sequence[str] = (),
        sport: int = 51000,
        dport: int = 443,
        now: int = SECOND,
    ) -> None:
        self.wire = Wire(sport=sport, dport=dport, now=now)
        served, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        served.load_cert_chain(*certificate)
        asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
        asking.keylog_filename = str(keys)
        for context in (served, asking):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the old versions are what is wanted
                context.minimum_version = context.maximum_version = version
            if ciphers:
                context.set_ciphers(ciphers + ":@SECLEVEL=0")
            if alpn:
                context.set_alpn_protocols([*alpn])
        self._in = [ssl.MemoryBIO(), ssl.MemoryBIO()]
        self._out = [ssl.MemoryBIO(), ssl.MemoryBIO()]
        self._ends = [
            asking.wrap_bio(self._in[CLIENT], self._out[CLIENT], server_hostname="shop.example"),
            served.wrap_bio(self._in[SERVER], self._out[SERVER], server_side=True),
        ]

    def handshake(self) -> list[Packet]:
        """Of TCP and TLS, its tickets too."""
        packets = self.wire.handshake()
        for side in (CLIENT, SERVER) * 3:
            try:
                self._ends[side].do_handshake()
            except ssl.SSLWantReadError:
                pass
            packets += self._flight(side)
        for side in (CLIENT, SERVER):
            self._read(side)
        return packets

    def say(self, side: Side, data: bytes) -> list[Packet]:
        """What the other end understands, in segments."""
        self._ends[side].write(data)
        packets = self._flight(side)
        assert self._read(side.other) == data
        return packets

    def call(self, request: bytes, answer: bytes) -> list[Packet]:
        return [*self.say(CLIENT, request), *self.say(SERVER, answer)]

    def farewell(self) -> list[Packet]:
        return self.wire.farewell()

    def wait(self, seconds: float) -> None:
        self.wire.now += int(seconds * SECOND) // MILLISECOND * MILLISECOND

    def _flight(self, side: Side) -> list[Packet]:
        data = self._out[side].read()
        self._in[side.other].write(data)
        return [self.wire.send(side, data[at : at + MSS]) for at in range(0, len(data), MSS)]

    def _read(self, side: Side) -> bytes:
        parts = []
        try:
            while part := self._ends[side].read(65_536):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
