"""What two ends of TLS say to each other, by Python's ssl over memory, with the secrets that their key log has.

No network: each step is what one end had to send at once.
"""

from __future__ import annotations

import ssl
import subprocess
import tempfile
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from talk import Step
from tls_recorded import RECORDED

from pysniff.dissector import Context, Output
from pysniff.message import CLIENT, SERVER, Side
from pysniff.secrets import Secret, Secrets
from pysniff.tls.dissector import Tls
from pysniff.tls.keylog import KeyLog

# Each says something: the side and its plain text.
Line = tuple[Side, bytes]


class Spoken(NamedTuple):
    """`steps`: as on the wire; `secrets`: out of the key log; `lines`: what was said in plain text."""

    steps: tuple[Step, ...]
    secrets: tuple[Secret, ...]
    lines: tuple[Line, ...]

    def plain(self, side: Side) -> bytes:
        return b"".join(text for sender, text in self.lines if sender is side)

    def half(self, side: Side) -> bytes:
        return b"".join(data for sender, data in self.steps if sender is side)


class Source:
    """Secrets that are there, or that come when they are put into `new`."""

    name = "keylog"

    def __init__(self, secrets: Iterable[Secret] = (), complete: bool = True) -> None:
        self.new = list(secrets)
        self.complete = complete

    def take(self) -> Iterable[Secret]:
        new, self.new = self.new, []
        return new


def knowing(secrets: Iterable[Secret]) -> Context:
    """What a dissector is told where these are all the secrets there are."""
    return Context(secrets=Secrets(Source(secrets)))


@cache
def certificate() -> Path:
    """Key and certificate of shop.example in one file, made once a run."""
    folder = Path(tempfile.mkdtemp(prefix="pysniff-tls-"))
    key, signed = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shop.example", "-days", "2"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(signed)], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


def contexts(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ciphers: str = "", alpn: Iterable[str] = ()
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and a server's."""
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server.load_cert_chain(certificate())
    for context in (client, server):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the old versions are what is wanted
            context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers + ":@SECLEVEL=0")
        if alpn:
            context.set_alpn_protocols(list(alpn))
    return client, server


class End:
    """One end, over memory."""

    def __init__(self, context: ssl.SSLContext, side: Side, session: ssl.SSLSession | None = None) -> None:
        self.into, self.outof = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.into,
            self.outof,
            server_side=side is SERVER,
            server_hostname="shop.example" if side is CLIENT else None,
            session=session,
        )

    def try_(self, call: Callable[[], object]) -> bool:
        """Whether it is done."""
        try:
            call()
        except (ssl.SSLWantReadError, ssl.SSLError):
            return False
        return True


def spoken(
    lines: Iterable[Line],
    ends: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    session: ssl.SSLSession | None = None,
    then: Callable[[ssl.SSLObject], None] | None = None,
) -> Spoken:
    """Shake hands, say the lines, and end with close_notify. `then` is given the client's end."""
    client_context, server_context = ends or contexts()
    with tempfile.NamedTemporaryFile(prefix="pysniff-keys-") as keys:
        client_context.keylog_filename = keys.name
        client = End(client_context, CLIENT, session)
        server = End(server_context, SERVER)
        steps = list(_play(client, server, lines))
        if then is not None:
            then(client.tls)
        client_context.keylog_filename = None  # type: ignore[assignment]  # as its documentation has it
        log = KeyLog()
        secrets = [*log.feed(Path(keys.name).read_bytes()), *log.end()]
    return Spoken(tuple(steps), tuple(secrets), tuple(lines))


@cache
def recorded(name: str) -> Spoken:
    """One of tls_recorded.py; without lines."""
    words = RECORDED[name].replace("\n  ", "").split("\n")
    log = KeyLog()
    secrets = log.feed("".join(f"{word}\n" for word in words if word[:1] not in "<>").encode())
    steps = [(SERVER if word[0] == "<" else CLIENT, b64decode(word[1:])) for word in words if word[:1] in ("<", ">")]
    return Spoken(tuple(steps), tuple(secrets), ())


class Knowing(Tls):
    """Knows the secrets of all that are recorded."""

    def begin(self, context: Context) -> Iterable[Output]:
        return super().begin(knowing(secret for name in RECORDED for secret in recorded(name).secrets))


def _play(client: End, server: End, lines: Iterable[Line]) -> Iterator[Step]:
    ends = {CLIENT: client, SERVER: server}
    done = {CLIENT: False, SERVER: False}
    for _ in range(6):
        for side in (CLIENT, SERVER):
            done[side] = done[side] or ends[side].try_(ends[side].tls.do_handshake)
            yield from _carry(ends, side)
    for side, text in lines:
        if all(done.values()):
            ends[side].tls.write(text)
            yield from _carry(ends, side)
            ends[side.other].try_(lambda: ends[side.other].tls.read(1 << 20))  # noqa: B023 - called at once
    for side in (CLIENT, SERVER):
        ends[side].try_(ends[side].tls.unwrap)
        yield from _carry(ends, side)


def _carry(ends: dict[Side, End], side: Side) -> Iterator[Step]:
    data = ends[side].outof.read()
    if data:
        ends[side.other].into.write(data)
        yield side, data
