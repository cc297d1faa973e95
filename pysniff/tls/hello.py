"""ClientHello and ServerHello (RFC 8446 §4.1, RFC 5246 §7.4.1), as their bodies stand on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from pysniff.dissector import Malformed
from pysniff.tls.numbers import (
    ALPN,
    KEY_SHARE,
    POINT_FORMATS,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
)

# The random of a ServerHello that is a HelloRetryRequest (RFC 8446 §4.1.3).
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# What is read of extensions; of all others it is enough that they are there.
_TELLING = frozenset({SERVER_NAME, ALPN, SUPPORTED_GROUPS, POINT_FORMATS, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS})
# Of extensions in one hello; browsers send 20, and 65,536 bytes have room for 16,384.
_EXTENSIONS = 256
_PAIR = Struct("!HH")
_SHORT = Struct("!H")


class _Body:
    """Reads the fields of a hello one after the other; `what` it is stands in what is raised."""

    def __init__(self, what: str, body: bytes) -> None:
        self.what = what
        self.body = body
        self.at = 0

    def take(self, size: int) -> bytes:
        begin, self.at = self.at, self.at + size
        if self.at > len(self.body):
            raise Malformed(f"{self.what} is shorter than it says")
        return self.body[begin : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """What a length of `size` bytes stands before."""
        return self.take(self.number(size))

    def extensions(self) -> dict[int, bytes]:
        """In their order; of one that comes twice, the first. None at all is allowed."""
        if self.at == len(self.body):
            return {}
        found = read_extensions(self.vector(2))
        if found is None:
            raise Malformed(f"{self.what} has an extension that is longer than its list, or more than {_EXTENSIONS}")
        return found


def read_extensions(data: bytes) -> dict[int, bytes] | None:
    """A list of extensions without its length; None where it is none, or too long."""
    found: dict[int, bytes] = {}
    at = count = 0
    while at < len(data):
        if at + 4 > len(data) or count >= _EXTENSIONS:
            return None
        number, size = _PAIR.unpack_from(data, at)
        end = at + 4 + size
        if end > len(data):
            return None
        found.setdefault(number, data[at + 4 : end])
        at = end
        count += 1
    return found


def _numbers(data: bytes) -> tuple[int, ...]:
    """Two bytes each; what is left over does not count."""
    return tuple(number for (number,) in _SHORT.iter_unpack(data[: len(data) & ~1]))


def _vector(data: bytes, size: int) -> bytes:
    """What a length of `size` bytes stands before, as far as it is there."""
    return data[size : size + int.from_bytes(data[:size], "big")]


def protocol_names(data: bytes) -> list[bytes]:
    """Those of an extension for ALPN (RFC 7301 §3.1), as far as they are whole."""
    return list(_names(_vector(data, 2)))


def _names(names: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(names) and at + 1 + names[at] <= len(names):
        yield names[at + 1 : at + 1 + names[at]]
        at += 1 + names[at]


def _said(extensions: dict[int, bytes]) -> bytes:
    """Those extensions, with what matters of them."""
    parts = [(number, data if number in _TELLING else b"") for number, data in extensions.items()]
    listed = b"".join(_PAIR.pack(number, len(data)) + data for number, data in parts)
    return _SHORT.pack(len(listed)) + listed if parts else b""


class ClientHello:
    """`body`: without the handshake message's header. Raises Malformed where it ends too early.

    `version` is the legacy one; numbers stand as sent, GREASE among them; what an extension would say is empty
    where it is missing.
    """

    __slots__ = ("version", "random", "session_id", "cipher_suites", "extensions")

    def __init__(self, body: bytes) -> None:
        fields = _Body("a ClientHello", body)
        self.version = fields.number(2)
        self.random = fields.take(32)
        self.session_id = fields.vector(1)
        self.cipher_suites = _numbers(fields.vector(2))
        fields.vector(1)  # compression methods
        self.extensions = fields.extensions()

    def abridged(self) -> bytes:
        """A body that says the same, without key shares, tickets and padding."""
        suites = b"".join(_SHORT.pack(number) for number in self.cipher_suites)
        head = _SHORT.pack(self.version) + self.random + bytes([len(self.session_id)]) + self.session_id
        return head + _SHORT.pack(len(suites)) + suites + b"\1\0" + _said(self.extensions)

    @property
    def versions(self) -> tuple[int, ...]:
        """Those that it offers, as sent; before TLS 1.3 the highest alone is told."""
        return _numbers(_vector(self.extensions.get(SUPPORTED_VERSIONS, b""), 1)) or (self.version,)

    @property
    def sni(self) -> str:
        """The host name (RFC 6066 §3), in lower case as DNS has it."""
        names = _vector(self.extensions.get(SERVER_NAME, b""), 2)
        return _vector(names[1:], 2).decode("ascii", "backslashreplace").lower() if names[:1] == b"\0" else ""

    @property
    def alpn(self) -> list[bytes]:
        return protocol_names(self.extensions.get(ALPN, b""))

    @property
    def groups(self) -> tuple[int, ...]:
        return _numbers(_vector(self.extensions.get(SUPPORTED_GROUPS, b""), 2))

    @property
    def point_formats(self) -> tuple[int, ...]:
        return tuple(_vector(self.extensions.get(POINT_FORMATS, b""), 1))

    @property
    def signature_algorithms(self) -> tuple[int, ...]:
        return _numbers(_vector(self.extensions.get(SIGNATURE_ALGORITHMS, b""), 2))


class ServerHello:
    """As ClientHello. `retry`: it is a HelloRetryRequest. `version`: legacy; `selected`: the one agreed on."""

    __slots__ = ("version", "random", "session_id", "cipher_suite", "compression", "extensions")

    def __init__(self, body: bytes) -> None:
        fields = _Body("a ServerHello", body)
        self.version = fields.number(2)
        self.random = fields.take(32)
        self.session_id = fields.vector(1)
        self.cipher_suite = fields.number(2)
        self.compression = fields.number(1)
        self.extensions = fields.extensions()

    def abridged(self) -> bytes:
        """As that of a ClientHello."""
        head = _SHORT.pack(self.version) + self.random + bytes([len(self.session_id)]) + self.session_id
        return head + _SHORT.pack(self.cipher_suite) + bytes([self.compression]) + _said(self.extensions)

    @property
    def retry(self) -> bool:
        return self.random == _RETRY

    @property
    def selected(self) -> int:
        return int.from_bytes(self.extensions.get(SUPPORTED_VERSIONS, b"")[:2], "big") or self.version

    @property
    def alpn(self) -> bytes:
        """What was agreed on; TLS 1.3 says it later, encrypted."""
        return next(iter(protocol_names(self.extensions.get(ALPN, b""))), b"")

    @property
    def group(self) -> int:
        """Of the key share, 0 for none."""
        return int.from_bytes(self.extensions.get(KEY_SHARE, b"")[:2], "big")
