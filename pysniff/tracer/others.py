"""TLS libraries of which no keys can be had: known by a function that they have, with the reason and what to do."""

from __future__ import annotations

from pysniff.tracer.elf import Elf, Symbol
from pysniff.tracer.hook import Library

_NSS, _NSS_KEY_LOG = "SSL_ImportFD", b"SSLKEYLOGFILE"
_LIBRARIES = {
    "mbedtls_ssl_write": Library(
        "Mbed TLS",
        "",
        (),
        "Mbed TLS gives its keys only to programs that ask: have it call mbedtls_ssl_set_export_keys_cb",
    ),
    "wolfSSL_write": Library(
        "wolfSSL", "", (), "wolfSSL gives its keys only to programs that ask: have it call wolfSSL_set_tls13_secret_cb"
    ),
    "s2n_send": Library(
        "s2n-tls", "", (), "s2n gives its keys only to programs that ask: have it call s2n_config_set_key_log_cb"
    ),
    "JNI_CreateJavaVM": Library(
        "Java JSSE",
        "",
        (),
        "Java's TLS is compiled while it runs, so it has no place to probe: start it with an agent that writes a key "
        "log, and PySniff with --keylog",
    ),
}
SYMBOLS = (_NSS, *_LIBRARIES)


def library(elf: Elf, symbols: dict[str, Symbol]) -> Library | None:
    """The first of them that these symbols tell of."""
    if _NSS in symbols:
        return Library("NSS", "", (), "NSS keeps its keys in a token; " + _nss_remedy(elf))
    return next((library for name, library in _LIBRARIES.items() if name in symbols), None)


def _nss_remedy(elf: Elf) -> str:
    if elf.find(_NSS_KEY_LOG, elf.data, most=1):
        return "start the program with SSLKEYLOGFILE, and PySniff with --keylog"
    return "it was built without SSLKEYLOGFILE, so its keys cannot be had: use a build with it, such as Firefox's own"
