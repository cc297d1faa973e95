"""Who may speak with this process, and as whom it speaks: the token and TLS.

The token is compared in constant time and stands in no log, message or repr.
"""

from __future__ import annotations

import hmac
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from pysniff.errors import FileError, OptionError


@dataclass(frozen=True, slots=True)
class Access:
    """Without a token only loopback is served. `listen` and `dial` are the TLS of both directions, None for none."""

    token: str | None = field(default=None, repr=False)
    listen: ssl.SSLContext | None = field(default=None, repr=False)
    dial: ssl.SSLContext | None = field(default=None, repr=False)

    def admits(self, authorization: str | None) -> bool:
        """Whether the value of an Authorization header carries the token (RFC 6750 §2.1)."""
        if self.token is None:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        right = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self.token.encode())
        return right and scheme.lower() == "bearer"

    def headers(self) -> dict[str, str]:
        """What is sent with a request to the other side."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def allow(self, host: str) -> None:
        """Raise OptionError where listening on this address would let in anybody who reaches it."""
        if self.token is None and not is_loopback(host):
            raise OptionError(f"listening on {host} needs a token", hint="give a token file, or listen on 127.0.0.1")


def is_loopback(host: str) -> bool:
    """Whether an address or name can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listening(certificate: Path, key: Path, ca: Path | None = None) -> ssl.SSLContext:
    """TLS of the side that listens, from PEM files; with `ca`, who dials must show a certificate of it.

    Raises FileError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _show(context, certificate, key)
    if ca is not None:
        _trust(context, ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def dialling(ca: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """TLS of the side that dials: the other's certificate is of `ca` (None: of the system's) and names its host.

    With `certificate` and `key` this side shows one too. Raises FileError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, ca)
    if certificate is not None:
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def password() -> str:
        raise FileError(f"{key or certificate} is encrypted", hint="give a key without a passphrase")

    try:
        context.load_cert_chain(certificate, key, password)
    except (OSError, ssl.SSLError) as error:
        raise FileError(f"{certificate}, {key}: {error.strerror or error}", hint="give PEM files") from None


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise FileError(f"{ca}: {error.strerror or error}", hint="give a PEM file of certificates") from None
