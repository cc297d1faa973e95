"""Where to probe OpenSSL 1.1.1 and later and BoringSSL, as shared libraries and in executables, stripped or not.

Both call ssl_log_secret(ssl, label, secret, length) for every secret, whether there is anybody to be told or not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pysniff.tracer import labels
from pysniff.tracer.elf import Elf, Symbol, matches
from pysniff.tracer.entrances import begins_cheaply, entrance, inner
from pysniff.tracer.flow import How, events
from pysniff.tracer.hook import Hook, Kind, Library
from pysniff.tracer.unwinding import Functions

_PLAIN = {
    "SSL_read": Kind.SSL_READ,
    "SSL_read_ex": Kind.SSL_READ_EX,
    "SSL_write": Kind.SSL_WRITE,
    "SSL_write_ex": Kind.SSL_WRITE_EX,
    "SSL_free": Kind.SSL_FREE,
}
_BIO = {"BIO_read": Kind.BIO_READ, "BIO_write": Kind.BIO_WRITE}


class _Inner(NamedTuple):
    """What `outer` and `extended` both call: (object, buffer, size, address of a count), which returns 1 or less."""

    outer: str
    extended: str
    function: str
    kind: Kind


_INNER = (
    _Inner("SSL_read", "SSL_read_ex", "ssl_read_internal", Kind.SSL_READ_EX),
    _Inner("SSL_write", "SSL_write_ex", "ssl_write_internal", Kind.SSL_WRITE_EX),
    _Inner("BIO_read", "BIO_read_ex", "bio_read_intern", Kind.BIO_READ_EX),
    _Inner("BIO_write", "BIO_write_ex", "bio_write_intern", Kind.BIO_WRITE),
)
_CLIENT_RANDOM, _SERVER_RANDOM = "SSL_get_client_random", "SSL_get_server_random"
_LOG_SECRET, _KEY_LOG = "ssl_log_secret", "SSL_CTX_set_keylog_callback"
# What OpenSSL has had since 1.0.2, but not what imitates it (libgnutls-openssl).
_GENUINE = "SSL_CTX_set_alpn_protos"
SYMBOLS = (
    *_PLAIN,
    *_BIO,
    "BIO_read_ex",
    "BIO_write_ex",
    _CLIENT_RANDOM,
    _SERVER_RANDOM,
    _LOG_SECRET,
    _KEY_LOG,
    _GENUINE,
)

# bssl::ssl_log_secret(...), as compilers write it.
_BORINGSSL = b"_ZN4bssl14ssl_log_secretE"
_VERSION = re.compile(rb"(OpenSSL|LibreSSL) (\d{1,2}\.\d{1,2}\.\d{1,2}[a-z]{0,2})[ \0-]")
_SYMBOL_VERSION = re.compile(rb"OPENSSL_(\d{1,2})[._](\d{1,2})[._](\d{1,2})")
_RANDOM_BYTES = 32
# An SSL object and what it points at are of 1 to 6 KiB.
_OBJECT_BYTES = 8_192

_PLAINTEXT = "what it reads and writes can be shown: --tls-mode plaintext"
_NOT_FOUND = f"its ssl_log_secret was not found: nothing calls one function with several key log labels; {_PLAINTEXT}"
_NO_RANDOM = f"where it keeps the client random was not found in its code; {_PLAINTEXT}"


def library(elf: Elf, symbols: dict[str, Symbol], functions: Functions, labelled: bool) -> Library | None:
    """What this file has of it. `symbols`: of SYMBOLS, those that it has; `labelled`: it has labels of a key log."""
    # Without SSL_free nobody knows when an address means another connection.
    plain = _hooks(elf, symbols, functions, _PLAIN) if "SSL_free" in symbols else ()
    bio = _hooks(elf, symbols, functions, _BIO)
    if not labelled and "SSL_write" not in symbols:
        return Library("libcrypto", _version(elf)[1], bio) if len(bio) == len(_BIO) else None
    if not labelled and _GENUINE not in symbols:
        return None
    if not labelled:
        return _without_key_log(*_version(elf), symbols, plain + bio)
    hook, problem = _key_hook(elf, symbols, functions)
    if hook is None and "SSL_write" not in symbols:
        return None
    name, version = _version(elf)
    return Library(name, version, ((hook,) if hook else ()) + plain + bio, problem)


def client_random(elf: Elf, symbols: dict[str, Symbol], functions: Functions) -> tuple[int, ...]:
    """The way from an SSL object to the client random, as Hook has it; () if its code does not tell.

    The two functions that give the randoms away reach fields that are 32 bytes apart, in all versions.
    """
    reached = []
    for name in (_CLIENT_RANDOM, _SERVER_RANDOM):
        if name not in symbols:
            return ()
        place = _place(symbols[name], functions)
        reached.append({event.place.path for event in events(elf, *place) if event.place.argument == 0})
    clients, servers = reached
    ways = [way for way in clients - servers if (*way[:-1], way[-1] - _RANDOM_BYTES) in servers - clients]
    return _plausible(ways)


def random_in_use(elf: Elf, address: int, size: int) -> tuple[int, ...]:
    """The same from ssl_log_secret itself, which writes 32 bytes of it in hexadecimal, or has that done."""
    ways = {
        event.place.path
        for event in events(elf, address, size)
        if event.place.argument == 0
        and (event.how is How.BYTES or (event.how is How.PASSED and event.value == _RANDOM_BYTES))
    }
    return _plausible(list(ways))


def _plausible(ways: list[tuple[int, ...]]) -> tuple[int, ...]:
    possible = [way for way in ways if len(way) <= 2 and all(0 < step <= _OBJECT_BYTES for step in way)]
    # OpenSSL 4 may write another one, of ECH, that lies behind.
    return min(possible, default=())


def _hooks(elf: Elf, symbols: dict[str, Symbol], functions: Functions, kinds: dict[str, Kind]) -> tuple[Hook, ...]:
    """Of exported functions: what they call if that costs less, instead of them."""
    found: dict[str, Hook] = {}
    for name, kind in kinds.items():
        offset = elf.offset(symbols[name].address) if name in symbols else None
        if offset is not None:
            found[name] = Hook(kind, name, offset)
    for one in _INNER:
        if one.outer not in found or one.extended not in symbols or begins_cheaply(elf, symbols[one.outer].address):
            continue
        called = inner(elf, _place(symbols[one.outer], functions), _place(symbols[one.extended], functions))
        offset = elf.offset(called) if called is not None else None
        if offset is not None:
            found.pop(one.extended, None)
            found[one.outer] = Hook(one.kind, one.function, offset, found_by=f"called by {one.outer}")
    if "SSL_free" in found:
        # Nobody asks when it is left.
        offset = elf.offset(entrance(elf, *_place(symbols["SSL_free"], functions), 1).address)
        if offset is not None:
            found["SSL_free"] = Hook(Kind.SSL_FREE, "SSL_free", offset)
    return tuple(found.values())


def _place(symbol: Symbol, functions: Functions) -> tuple[int, int]:
    return symbol.address, symbol.size or functions.size(symbol.address)


def _key_hook(elf: Elf, symbols: dict[str, Symbol], functions: Functions) -> tuple[Hook | None, str]:
    """The probe for keys, or why there is none."""
    symbol = symbols.get(_LOG_SECRET) or next(iter(elf.symbols_with(_BORINGSSL)), None)
    if symbol is not None:
        address, size, found_by = symbol.address, symbol.size or functions.size(symbol.address), "symbol"
    else:
        found = labels.writer(elf, functions)
        if found is None:
            return None, _NOT_FOUND
        address, size, found_by = found.address, found.size, "labels"
    best = entrance(elf, address, size, 4)
    offset = elf.offset(best.address)
    way = client_random(elf, symbols, functions) or random_in_use(elf, address, size)
    if offset is None or not way:
        return None, _NO_RANDOM
    return Hook(Kind.LOG_SECRET, _LOG_SECRET, offset, way, found_by, arguments=best.arguments), ""


def _without_key_log(name: str, version: str, symbols: dict[str, Symbol], hooks: tuple[Hook, ...]) -> Library:
    if name == "LibreSSL" or _KEY_LOG in symbols:
        return Library(
            "LibreSSL", version, hooks, f"LibreSSL has no key log, so no place where keys pass; {_PLAINTEXT}"
        )
    return Library(name, version, hooks, f"older than OpenSSL 1.1.1, or LibreSSL: it has no key log; {_PLAINTEXT}")


def _version(elf: Elf) -> tuple[str, str]:
    """Name and version: what the file says of itself, or the newest that its symbols are from, with a plus sign."""
    for segment in elf.data:
        for _, chunk in elf.chunks(segment, 64):
            # Finding bytes is much faster than searching for a pattern.
            for name in (b"OpenSSL ", b"LibreSSL "):
                if told := next(matches(_VERSION, name, chunk), None):
                    return told[1].decode(), told[2].decode()
            if b"BoringSSL" in chunk or b"boringssl" in chunk:
                return "BoringSSL", ""
    symbols = matches(_SYMBOL_VERSION, b"OPENSSL_", elf.names(".dynsym"))
    versions = [tuple(map(int, match.groups())) for match in symbols]
    return "OpenSSL", ".".join(map(str, max(versions))) + "+" if versions else ""
