"""Where to probe GnuTLS 3.6.13 and later: one function gets every secret, and passes it on where the program asked."""

from __future__ import annotations

import re

from pysniff.tracer import labels
from pysniff.tracer.elf import Elf, Symbol
from pysniff.tracer.entrances import entrance
from pysniff.tracer.flow import How, events
from pysniff.tracer.hook import Hook, Kind, Library
from pysniff.tracer.unwinding import Functions

_RANDOMS, _KEY_LOG = "gnutls_session_get_random", "gnutls_session_set_keylog_function"
_SEND = "gnutls_record_send"
SYMBOLS = (_RANDOMS, _KEY_LOG, _SEND)
# No symbol has this name: static functions have none. It is what the source calls it.
_WRITER = "_gnutls_call_keylog_func"

_VERSION = re.compile(rb"Enabled GnuTLS (\d+\.\d+\.\d+)")
_RANDOM_BYTES = 32
_SESSION_BYTES = 16_384
_REMEDY = "start the program with SSLKEYLOGFILE, and PySniff with --keylog"


def library(elf: Elf, symbols: dict[str, Symbol], functions: Functions, labelled: bool) -> Library | None:
    """What this file has of it. `symbols`: of SYMBOLS, those that it has; `labelled`: it has labels of a key log."""
    if _SEND not in symbols:
        return None
    version = _version(elf)
    if not labelled or _KEY_LOG not in symbols:
        return Library("GnuTLS", version, (), "older than GnuTLS 3.6.13: it gives its keys to nobody; a newer one does")
    found = labels.writer(elf, functions)
    best = entrance(elf, found.address, found.size, 4) if found else None
    offset = elf.offset(best.address) if best else None
    if best is None or offset is None:
        return Library("GnuTLS", version, (), f"the function that gets its keys was not found; {_REMEDY}")
    way = client_random(elf, symbols, functions)
    if not way:
        return Library("GnuTLS", version, (), f"where it keeps the client random was not found in its code; {_REMEDY}")
    return Library(
        "GnuTLS", version, (Hook(Kind.LOG_SECRET, _WRITER, offset, way, "labels", arguments=best.arguments),)
    )


def client_random(elf: Elf, symbols: dict[str, Symbol], functions: Functions) -> tuple[int, ...]:
    """The way from a session to the client random, as Hook has it; () if its code does not tell.

    gnutls_session_get_random(session, client, server) gives the addresses of both, and they are side by side.
    """
    if _RANDOMS not in symbols:
        return ()
    symbol = symbols[_RANDOMS]
    stored = {
        event.into.argument: event.place.path
        for event in events(elf, symbol.address, symbol.size or functions.size(symbol.address))
        if event.how is How.STORED and event.into and event.into.path == (0,) and event.place.argument == 0
    }
    client, server = stored.get(1, ()), stored.get(2, ())
    near = len(client) == len(server) == 1 and abs(client[0] - server[0]) == _RANDOM_BYTES
    return client if near and 0 < client[0] < _SESSION_BYTES else ()


def _version(elf: Elf) -> str:
    for segment in elf.data:
        for _, chunk in elf.chunks(segment, 64):
            if told := _VERSION.search(chunk):
                return told[1].decode()
    return ""
