"""What the two ends agreed on in their hellos, and the openers that follow from it and the secrets there are."""

from __future__ import annotations

from pysniff.encryption import Encryption
from pysniff.message import Side, printable
from pysniff.secrets import Secrets
from pysniff.tls.fingerprints import ja3, ja3s, ja4
from pysniff.tls.half import Epoch, Key
from pysniff.tls.hello import ClientHello, ServerHello, protocol_names, read_extensions
from pysniff.tls.messages import agreed_version, protocol_name
from pysniff.tls.numbers import ALPN, EARLY_DATA, ENCRYPT_THEN_MAC, PRE_SHARED_KEY, TLS10, TLS13
from pysniff.tls.reasons import COMPRESSED, LOST_HANDSHAKE, NO_HANDSHAKE, NO_PACKAGE, NO_SUITE, NO_VERSION, Reason
from pysniff.tls.schedule import block_keys, next_secret, traffic_keys
from pysniff.tls.suites import Suite, suite, suite_name

_LABELS = {
    (Epoch.EARLY, 0): "CLIENT_EARLY_TRAFFIC_SECRET",
    (Epoch.HANDSHAKE, 0): "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    (Epoch.HANDSHAKE, 1): "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    (Epoch.APPLICATION, 0): "CLIENT_TRAFFIC_SECRET_0",
    (Epoch.APPLICATION, 1): "SERVER_TRAFFIC_SECRET_0",
}


class Agreement:
    """`early`: whether the server took the early data, None while nobody knows. `retried`: the server asked for
    another ClientHello."""

    def __init__(self) -> None:
        self.hello: ClientHello | None = None
        self.answer: ServerHello | None = None
        self.encryption = Encryption()
        self.version = 0
        self.retried = False
        self.early: bool | None = None
        self.secrets = Secrets()
        self._suite: Suite | None = None

    def client_hello(self, hello: ClientHello) -> None:
        """The first one: a second one says the same but for what the server asked for."""
        self.hello = hello
        self.encryption.sni = printable(hello.sni)
        self.encryption.ja3 = ja3(hello)
        self.encryption.ja4 = ja4(hello)
        if EARLY_DATA not in hello.extensions:
            self.early = False
        self._compare()

    def retry(self) -> None:
        """A HelloRetryRequest refuses early data (RFC 8446 §4.1.2)."""
        self.retried = True
        self.early = False
        self.version = TLS13

    def server_hello(self, answer: ServerHello) -> None:
        known = self.encryption
        self.answer = answer
        self.version = answer.selected
        self._suite = suite(answer.cipher_suite)
        known.version = agreed_version(answer)
        known.cipher_suite = suite_name(answer.cipher_suite)
        known.ja3s = ja3s(answer)
        if self.version >= TLS13:
            known.resumed = PRE_SHARED_KEY in answer.extensions
        else:
            self.early = False
            known.alpn = printable(protocol_name(answer.alpn))
            self._compare()

    def _compare(self) -> None:
        """Whether TLS 1.2 resumes: RFC 5246 §7.4.1.3; with a ticket the client makes an id up (RFC 5077 §3.4)."""
        hello, answer = self.hello, self.answer
        if hello is not None and answer is not None and self.version < TLS13:
            self.encryption.resumed = bool(answer.session_id) and hello.session_id == answer.session_id

    def encrypted_extensions(self, body: bytes) -> None:
        """What the server of TLS 1.3 says behind its hello."""
        extensions = read_extensions(body[2:]) or {}
        name = next(iter(protocol_names(extensions.get(ALPN, b""))), b"")
        self.encryption.alpn = printable(protocol_name(name))
        self.early = EARLY_DATA in extensions
        self.encryption.early_data = self.early

    def obstacle(self) -> Reason | None:
        """Why no secret would help."""
        if self.hello is None or self.answer is None:
            return NO_HANDSHAKE if self.hello is None and self.answer is None else LOST_HANDSHAKE
        if not TLS10 <= self.version <= TLS13:
            return NO_VERSION
        if self._suite is None:
            return NO_SUITE
        if self.answer.compression:
            return COMPRESSED
        return None

    def key(self, side: Side, epoch: Epoch) -> Key | Reason | None:
        """What opens a half's records; None where a secret is missing."""
        obstacle = self.obstacle()
        if obstacle is not None:
            return obstacle
        assert self.hello is not None and self.answer is not None and self._suite is not None
        label = _LABELS[epoch, side] if self.version == TLS13 else "CLIENT_RANDOM"
        found = self.secrets.find(label, self.hello.random)
        if found is None:
            return None
        secret, source = found
        try:
            from pysniff.tls.openers import make
        except ImportError:
            return NO_PACKAGE
        if self.version == TLS13:
            made = make(self._suite, self.version, traffic_keys(self._suite, secret), False)
            return Key(made, secret, source) if made is not None else NO_SUITE
        keys = block_keys(self._suite, self.version, secret, self.hello.random, self.answer.random, side)
        made = make(self._suite, self.version, keys, ENCRYPT_THEN_MAC in self.answer.extensions)
        return Key(made, b"", source) if made is not None else NO_SUITE

    def next_key(self, key: Key) -> Key:
        """After a KeyUpdate."""
        from pysniff.tls.openers import make

        assert self._suite is not None
        secret = next_secret(self._suite, key.secret)
        made = make(self._suite, self.version, traffic_keys(self._suite, secret), False)
        assert made is not None  # there was one for the key before
        return Key(made, secret, key.source)

    def protocol(self) -> str | None:
        """The dissector that ALPN chose; None where the bytes have to tell."""
        return _PROTOCOLS.get(self.encryption.alpn)


# HTTP/1 turns into WebSocket and others: the name says less than the bytes do.
_PROTOCOLS = {"h2": "http2"}
