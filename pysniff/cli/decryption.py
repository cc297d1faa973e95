"""What a person should know of TLS: what an entry was read out of, which secrets there were, and what stayed closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from pysniff.cli.errors import complain
from pysniff.cli.terminal import visible
from pysniff.errors import CaptureError

if TYPE_CHECKING:
    from pysniff.cli.options import SniffOptions
    from pysniff.encryption import Encryption
    from pysniff.entry import Entry
    from pysniff.secrets import SecretSource
    from pysniff.tracing import Tracing

# Protocols that have a name of their own where TLS carries them: schemes of URLs.
_NAMES = {"http": "https", "ws": "wss", "redis": "rediss", "grpc": "grpcs"}
_REASONS = 3


def name_within(protocol: str) -> str:
    """What a protocol is called where it was read out of TLS: https, wss, dns/tls."""
    return _NAMES.get(protocol, f"{protocol}/tls")


def is_closed(entry: Entry) -> bool:
    """Whether it is a handshake whose connection could not be decrypted."""
    return entry.protocol == "tlsx" and bool(getattr(entry.response, "not_decrypted", ""))


def encryption_line(encryption: Encryption) -> str:
    """TLS 1.3 TLS_AES_128_GCM_SHA256, h2, server name shop.example, keys from keylog"""
    words = [f"TLS {encryption.version} {encryption.cipher_suite}".strip()]
    if encryption.alpn:
        words.append(encryption.alpn)
    if encryption.sni:
        words.append(f"server name {encryption.sni}")
    if encryption.resumed:
        words.append("resumed")
    if encryption.early_data:
        words.append("early data")
    if encryption.key_source == "plaintext":
        words.append("read in the process")
    elif encryption.key_source:
        words.append(f"keys from {encryption.key_source}")
    return ", ".join(words)


def source_lines(sources: Iterable[SecretSource]) -> Iterator[str]:
    """What each source of secrets had, with lines of no use and why."""
    for source in sources:
        count, useless = getattr(source, "secrets", None), getattr(source, "useless", {})
        others: Mapping[str, int] = getattr(source, "others", {})
        if count is None or not (count or useless or others or hasattr(source, "path")):
            continue
        parts = [f"{count:,} secret{'' if count == 1 else 's'}"]
        parts += [f"{number:,} of no use: {reason}" for reason, number in useless.items()]
        parts += [f"{number:,} of {name}, which is not read" for name, number in others.items()]
        yield f"{getattr(source, 'path', 'the capture')}: {'; '.join(parts)}"


def undecrypted_line(reasons: Mapping[str, int], options: SniffOptions) -> str:
    """How many connections stayed closed, why, and what would open them; "" where none did."""
    total = sum(reasons.values())
    if not total:
        return ""
    often = sorted(reasons.items(), key=lambda item: -item[1])
    whys = [
        f"{_why(reason, options)} ({count:,})" if len(often) > 1 else _why(reason, options) for reason, count in often
    ]
    if len(whys) > _REASONS:
        whys[_REASONS:] = [f"other reasons ({sum(count for _, count in often[_REASONS:]):,})"]
    subject = "1 TLS connection was" if total == 1 else f"{total:,} TLS connections were"
    return f"{subject} not decrypted: {'; '.join(whys)} (docs/tls.md says more)"


def _why(reason: str, options: SniffOptions) -> str:
    from pysniff.tls.reasons import NO_KEY

    if reason == NO_KEY.sentence and (options.files or options.query is not None):
        return "no key was given: --keylog FILE takes what the program wrote to SSLKEYLOGFILE"
    return reason


def open_tracing(options: SniffOptions) -> Tracing | None:
    """What --tls asks for; where this machine does not allow it, that is said, and everything else goes on."""
    if not options.tls:
        return None
    from pysniff.tracing import Tracing

    try:
        tracing = Tracing(options.tls, options.tls_only)
    except CaptureError as error:
        complain(f"--tls: {error}; going on without")
        return None
    for notice in tracing.notices:
        complain(notice)
    return tracing


def tracing_line(tracing: Tracing) -> str:
    """What was read in programs."""
    words = []
    if tracing.secrets is not None:
        report = tracing.secrets.report()
        words.append(f"{report.keys:,} secrets out of programs")
        if report.dropped:
            words.append(f"{report.dropped:,} secrets lost")
    if tracing.plain is not None and (given := tracing.plain.report().given_bytes):
        words.append(f"{given:,} bytes of plain text")
    return "; ".join(words) or "nothing was read in programs"


def tell_undecrypted(reasons: Mapping[str, int], options: SniffOptions) -> None:
    if text := undecrypted_line(reasons, options):
        click.echo(f"pysniff: {visible(text)}", err=True)
