"""Where a probe goes in a file, and what it finds there: what ELF files tell, and what probes are attached by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """The function's arguments, and so the program that reads them.

    Keys: `client_random` says how to get from the first argument to the client random, unless it is an argument.
    """

    # (object, label as a C string, secret, length): ssl_log_secret of OpenSSL and BoringSSL, the same of GnuTLS.
    LOG_SECRET = "log_secret"
    # crypto/tls.(*Config).writeKeyLog(label string, clientRandom, secret []byte) error, of Go 1.17 and later.
    GO_WRITE_KEY_LOG = "go_write_key_log"
    # <_ as rustls::KeyLog>::log(&self, label: &str, client_random: &[u8], secret: &[u8])
    RUSTLS_LOG = "rustls_log"
    # Plain text; `returns` says where a function is left whose return address must not be replaced.
    SSL_READ = "SSL_read"
    SSL_READ_EX = "SSL_read_ex"
    SSL_WRITE = "SSL_write"
    SSL_WRITE_EX = "SSL_write_ex"
    SSL_FREE = "SSL_free"
    GO_READ = "go_read"
    GO_WRITE = "go_write"
    GO_CLOSE = "go_close"
    # Of libcrypto, or of an executable that has it: what a TLS library reads and writes through, where not a socket.
    BIO_READ = "BIO_read"
    # The same with (bio, data, size, count): bio_read_intern, which puts at its fourth argument how much it read.
    BIO_READ_EX = "BIO_read_ex"
    BIO_WRITE = "BIO_write"

    @property
    def reveals_keys(self) -> bool:
        return self in (Kind.LOG_SECRET, Kind.GO_WRITE_KEY_LOG, Kind.RUSTLS_LOG)


@dataclass(frozen=True, slots=True)
class Hook:
    """One function of one file. `offset`: of its first instruction in the file, or of a later one where probing costs
    less and the arguments are still there; `arguments`: then the registers that have them, () for the usual ones.

    `client_random`: the way from the first argument to its 32 bytes: every offset is added, and what is there is
    followed as a pointer, but for the last; (0x140,) is argument + 0x140, (0x80, 0x20) is *(argument + 0x80) + 0x20.
    () where it is an argument. `found_by`: "symbol", "labels", ".gopclntab", as people may read it. `returns`: file
    offsets of the function's return instructions (Go, whose stacks move).
    """

    kind: Kind
    function: str
    offset: int
    client_random: tuple[int, ...] = ()
    found_by: str = "symbol"
    returns: tuple[int, ...] = ()
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Library:
    """A TLS library in a file. `name`: OpenSSL, BoringSSL, Go crypto/tls, GnuTLS...; `version`: "" where not told.

    `problem`: why no key can be had of it, in words that say what to do; "" where there is a hook that reveals keys.
    """

    name: str
    version: str
    hooks: tuple[Hook, ...] = ()
    problem: str = ""


class Mapped(NamedTuple):
    """A file that a process has mapped to execute. `path`: as that process names it, so within its own root.

    `device`, `inode`: what the kernel said, to know again what was met before; stat may say another device.
    `generation`: of the inode, whose number may be used again; None where only /proc/PID/maps told, 0 where the file
    system has none.
    """

    pid: int
    path: str
    device: int
    inode: int
    generation: int | None = None
