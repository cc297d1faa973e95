"""read() and sniff(): entries from files and interfaces."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pysniff.descriptors import Paths, schemas
from pysniff.entries import Entries
from pysniff.keylogs import CaptureSecrets, key_logs
from pysniff.limits import DEFAULT, Limits
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer
from pysniff.sources import Chosen, Files, Interfaces, Progress, Taker

if TYPE_CHECKING:
    from pysniff.hosts import Source as NameFile
    from pysniff.keylogs import Paths as KeyLogs
    from pysniff.kfl.filter import Filter
    from pysniff.tracing import Tracing

DecodeAs = Mapping[tuple[str, int], str]


def read(
    *paths: str | os.PathLike[str],
    filter: str | Filter = "",
    bpf: str = "",
    follow: bool = False,
    duration: float | None = None,
    decode_as: DecodeAs | None = None,
    proto: Paths = (),
    names: NameFile = None,
    keylog: KeyLogs = (),
    limits: Limits = DEFAULT,
    write: Taker | None = None,
    progress: Progress | None = None,
    dissect: bool = True,
) -> Entries:
    """Entries of capture files, several merged by time; "-" is standard input.

    `filter`: a display filter; entries that do not match are counted, not given. `bpf`: a capture filter.
    `follow`: wait for more where a file ends. `duration`: seconds of packet time. `proto`: files with protobuf
    descriptor sets. `names`: a file with names of addresses, or a Names; beside it those count that DNS answers in the
    packets and the captures themselves tell. `keylog`: files with secrets that decrypt TLS, as SSLKEYLOGFILE has them,
    beside those that the captures bring; where packets are waited for, secrets are, too.
    `write`: takes the packets that the filter lets through. `progress`: called with bytes read and bytes in all.
    `dissect`: without it there are no entries, and packets only go to `write`.
    Raises FileError and a display filter's FilterError at once, a capture filter's with the first packet (whether it
    makes sense depends on the link type), and ReadError after the last good entry of a damaged file.
    """
    from pysniff.capture.files import open_capture
    from pysniff.hosts import names_from

    if not paths:
        raise TypeError("read() needs at least one path")
    schema, called = schemas(proto), names_from(names)
    wanted = _compiled(filter)
    stack = ExitStack()
    try:
        # Only the Sniffer knows what to do with runs.
        runs = len(paths) == 1 and not bpf and duration is None and write is None
        files = [stack.enter_context(open_capture(path, follow=follow, runs=runs)) for path in paths]
        secrets = Secrets(CaptureSecrets(files), *key_logs(keylog, follow or None in [file.size for file in files]))
    except BaseException:
        stack.close()
        raise
    packets = Files(files, progress, named=called.captures)
    sniffer = Sniffer(
        limits=limits, decode_as=decode_as, proto=schema, capture_source="file", names=called, secrets=secrets
    )
    return Entries(sniffer, packets, stack, Chosen(bpf, duration, write), wanted, secrets=secrets, dissect=dissect)


def sniff(
    *interfaces: str,
    filter: str | Filter = "",
    bpf: str = "",
    duration: float | None = None,
    decode_as: DecodeAs | None = None,
    proto: Paths = (),
    names: NameFile = None,
    keylog: KeyLogs = (),
    tls: str | Tracing = "",
    limits: Limits = DEFAULT,
    write: Taker | None = None,
    netns: Sequence[str] = (),
) -> Entries:
    """Entries from interfaces, as they happen; without a name, from every interface that is up, or comes up.

    `filter`: a display filter. `duration`: seconds on the clock; otherwise until close(). `proto`: files with
    protobuf descriptor sets. `names`: as of read(). `netns`: network namespaces to capture in, by name, path or
    process number, or "all". `keylog`: files with secrets that decrypt TLS; they may grow, and need not exist yet.
    `tls`: "keys" or "plaintext", read out of running programs through the kernel, or a Tracing, which ends with the
    capture. Raises CaptureError, PrivilegeError, FilterError or FileError.
    """
    from pysniff.capture.live import open_live
    from pysniff.hosts import names_from

    schema, called = schemas(proto), names_from(names)
    wanted = _compiled(filter)
    secrets = Secrets(*key_logs(keylog, follow=True))
    stack = ExitStack()
    tracing = _tracing(tls)
    try:
        if tracing is not None:
            stack.enter_context(tracing)
            if tracing.secrets is not None:
                secrets.attach(tracing.secrets)
        live = open_live(interfaces, bpf, netns=netns)
        stack.enter_context(live)
    except BaseException:
        stack.close()
        raise
    sniffer = Sniffer(
        limits=limits,
        decode_as=decode_as,
        proto=schema,
        capture_source="libpcap",
        names=called,
        secrets=secrets,
        plain_alone=not bpf and not netns and (not interfaces or "any" in interfaces),
    )
    packets = Interfaces(live, duration)
    chosen = Chosen("", None, write)
    return Entries(sniffer, packets, stack, chosen, wanted, secrets=secrets, tracing=tracing)


def _tracing(tls: str | Tracing) -> Tracing | None:
    """Probes, if they are wanted."""
    if not isinstance(tls, str):
        return tls
    if not tls:
        return None
    from pysniff.tracing import Tracing

    return Tracing(tls)


def _compiled(filter: str | Filter) -> Filter | None:
    """None for the filter that everything matches."""
    if isinstance(filter, str):
        if not filter.strip():
            return None
        from pysniff.kfl.variables import compile

        filter = compile(filter)
    return None if filter.tree is None else filter
