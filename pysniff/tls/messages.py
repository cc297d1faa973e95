"""The handshake as entries show it: `tlsx`, who asked for what, and what came of it."""

from __future__ import annotations

from typing import Any, ClassVar

from pysniff.encryption import Encryption
from pysniff.message import Fault, Message, Role, Side, printable
from pysniff.tls.fingerprints import ja3, ja4
from pysniff.tls.hello import ClientHello, ServerHello
from pysniff.tls.numbers import EARLY_DATA, SUPPORTED_VERSIONS, extension_name, group_name, version_name
from pysniff.tls.suites import suite_name


def protocol_name(name: bytes) -> str:
    """A name of ALPN as text."""
    return name.decode("ascii", "backslashreplace")


class TlsHello(Message):
    """What a client offers; `version` is the one agreed on, "" where none was.

    `hello` has the numbers that the names here stand for, `encryption` what is known of the whole connection.
    """

    __slots__ = ("hello", "encryption")
    protocol: ClassVar[str] = "tlsx"
    role: ClassVar[Role] = Role.REQUEST

    def __init__(
        self, side: Side, first: int, last: int, position: int, size: int, hello: ClientHello, encryption: Encryption
    ) -> None:
        super().__init__(side, first, last, position, size)
        self.hello = hello
        self.encryption = encryption

    @property
    def version(self) -> str:
        return self.encryption.version

    @property
    def versions(self) -> list[str]:
        """As offered: of a client that does not know TLS 1.3 the highest alone is known."""
        return [version_name(number) for number in self.hello.versions]

    @property
    def cipher_suites(self) -> list[str]:
        return [suite_name(number) for number in self.hello.cipher_suites]

    @property
    def sni(self) -> str:
        return self.hello.sni

    @property
    def alpn(self) -> list[str]:
        return [protocol_name(name) for name in self.hello.alpn]

    @property
    def extensions(self) -> list[str]:
        return [extension_name(number) for number in self.hello.extensions]

    @property
    def groups(self) -> list[str]:
        return [group_name(number) for number in self.hello.groups]

    @property
    def early_data(self) -> bool:
        """Whether it announces some (0-RTT)."""
        return EARLY_DATA in self.hello.extensions

    @property
    def ja3(self) -> str:
        return self.encryption.ja3 or ja3(self.hello)

    @property
    def ja4(self) -> str:
        return self.encryption.ja4 or ja4(self.hello)

    @property
    def summary(self) -> str:
        return printable(" ".join(["ClientHello", *([self.sni] if self.sni else []), ",".join(self.alpn)]).rstrip())

    @property
    def headline(self) -> str:
        versions = [name for name in self.versions if name != "GREASE"]
        return f"{self.summary} ({', '.join(versions)}; {len(self.cipher_suites)} cipher suites)"

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {
            "versions": self.versions,
            "cipher_suites": self.cipher_suites,
            "sni": self.sni,
            "alpn": self.alpn,
            "extensions": self.extensions,
            "groups": self.groups,
            "early_data": self.early_data,
            "ja3": self.ja3,
            "ja4": self.ja4,
            "size": self.size,
        }


class TlsAnswer(Message):
    """What came of it. `hello`: the server's, None where it said none; `alert`: the fatal one that ended it.

    `alert_from`: client or server. `retried`: the server asked for another ClientHello first. `not_decrypted`: why
    the application data cannot be read, or not all of it; "" where it can, or there is none.
    """

    __slots__ = ("hello", "alert", "alert_from", "retried", "not_decrypted", "encryption")
    protocol: ClassVar[str] = "tlsx"
    role: ClassVar[Role] = Role.RESPONSE

    def __init__(
        self,
        side: Side,
        first: int,
        last: int,
        position: int,
        size: int,
        hello: ServerHello | None,
        encryption: Encryption,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(side, first, last, position, size, faults)
        self.hello = hello
        self.alert = ""
        self.alert_from = ""
        self.retried = False
        self.not_decrypted = ""
        self.encryption = encryption

    @property
    def version(self) -> str:
        return self.encryption.version

    @property
    def cipher_suite(self) -> str:
        return self.encryption.cipher_suite

    @property
    def alpn(self) -> str:
        """What was agreed on; of TLS 1.3 known only where the handshake was decrypted."""
        return self.encryption.alpn

    @property
    def extensions(self) -> list[str]:
        """Those of the ServerHello: TLS 1.3 has others encrypted."""
        return [extension_name(number) for number in self.hello.extensions] if self.hello is not None else []

    @property
    def group(self) -> str:
        """Of the key exchange of TLS 1.3."""
        number = self.hello.group if self.hello is not None else 0
        return group_name(number) if number else ""

    @property
    def ja3s(self) -> str:
        return self.encryption.ja3s

    @property
    def resumed(self) -> bool:
        return self.encryption.resumed

    @property
    def early_data(self) -> bool:
        return self.encryption.early_data

    @property
    def key_source(self) -> str:
        return self.encryption.key_source

    @property
    def ok(self) -> bool:
        return not self.alert

    @property
    def status_text(self) -> str:
        if self.alert:
            return f"alert {self.alert}"
        return f"{_spoken(self.version)} {self.cipher_suite}".strip()

    @property
    def summary(self) -> str:
        outcome = f"not decrypted: {self.not_decrypted}" if self.not_decrypted else ""
        return printable("; ".join([part for part in (self.status_text, self.alpn, outcome) if part]))

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {
            "version": self.version,
            "cipher_suite": self.cipher_suite,
            "alpn": self.alpn,
            "extensions": self.extensions,
            "group": self.group,
            "retried": self.retried,
            "resumed": self.resumed,
            "early_data": self.early_data,
            "ja3s": self.ja3s,
            "alert": self.alert,
            "alert_from": self.alert_from,
            "key_source": self.key_source,
            "not_decrypted": self.not_decrypted,
            "size": self.size,
        }


class TlsJoined(TlsAnswer):
    """Stands for a connection whose handshake nobody saw: it says why nothing of it can be read."""

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE
    stands_in: ClassVar[Role | None] = Role.RESPONSE


def _spoken(version: str) -> str:
    return f"TLS {version}" if version[:1].isdigit() and "." in version else version


def agreed_version(hello: ServerHello) -> str:
    return version_name(hello.selected if SUPPORTED_VERSIONS in hello.extensions else hello.version)
